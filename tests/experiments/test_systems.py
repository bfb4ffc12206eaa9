from dataclasses import replace

import pytest

from selfvos import api
from selfvos.errors import UnknownName, UsageError
from selfvos.experiments.systems import System, parse, with_budget


@pytest.mark.parametrize(
    ("text", "name", "source", "preset", "train"),
    [
        ("crw_resnet18", "crw_resnet18", "crw_resnet18", None, ()),
        ("crw_resnet18@crw", "crw_resnet18@crw", "crw_resnet18", "crw", ()),
        ("walk=crw_resnet18@crw", "walk", "crw_resnet18", "crw", ()),
        ("one=crw_resnet18+seed=1+clips.crop_px=64@dul", "one", "crw_resnet18", "dul", ("seed=1", "clips.crop_px=64")),
        ("crw_resnet18+seed=1", "crw_resnet18+seed=1", "crw_resnet18", None, ("seed=1",)),
        ("default", "default", "default", None, ()),
        ("runs/first@crw", "runs_first@crw", "runs/first", "crw", ()),
    ],
)
def test_a_system_is_read_from_text(text, name, source, preset, train):
    assert parse(text) == System(name=name, source=source, preset=preset, train=train)


def test_a_file_may_be_called_as_it_likes(tmp_path):
    path = tmp_path / "a+b@c=d.safetensors"
    path.touch()
    assert parse(str(path)).source == str(path)


@pytest.mark.parametrize("text", ["", "=@crw", "name=", "default+seed=1"])
def test_what_names_no_system_is_refused(text):
    with pytest.raises(UsageError):
        parse(text)


def test_an_unknown_preset_is_told_before_anything_is_trained():
    with pytest.raises(UnknownName, match="crv"):
        parse("crw_resnet18@crv")


def test_settings_of_the_row_win_over_common_ones():
    system = parse("crw_resnet18+seed=1+clips.crop_px=64")
    config = system.training(("clips.crop_px=128", "warmup.batch_clips=3"), 7)
    assert (config.seed, config.clips.crop_px, config.warmup.batch_clips) == (1, 64, 3)


@pytest.mark.parametrize("recipe", ["crw_resnet18", "crw_resnet18_l_seg", "mask_vos_resnet18"])
@pytest.mark.parametrize("steps", [4, 100, 103])
def test_a_budget_is_what_a_recipe_spends(recipe, steps):
    config = with_budget(api.recipe(recipe), steps)
    phases = config.warmup, config.joint
    assert sum(phase.epochs * phase.steps_per_epoch for phase in phases) == steps
    if config.joint.epochs:
        assert config.joint.epochs * config.joint.steps_per_epoch == 2 * (steps // 4)
        assert config.pseudo_masks.refresh_epochs == 1


def test_no_budget_leaves_a_recipe_as_it_is():
    assert with_budget(api.recipe("mask_vos_resnet18"), 0) == api.recipe("mask_vos_resnet18")


def test_a_joint_phase_that_is_switched_off_takes_no_steps():
    config = api.recipe("mask_vos_resnet18")
    config = with_budget(replace(config, joint=replace(config.joint, epochs=0)), 10)
    assert (config.warmup.steps_per_epoch, config.joint.epochs) == (10, 0)


def test_too_few_steps_for_two_phases_are_refused():
    with pytest.raises(UsageError, match="at least 4 steps"):
        with_budget(api.recipe("mask_vos_resnet18"), 3)
