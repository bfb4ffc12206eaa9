"""Settings from files: three forms, one meaning; what counts more; what is refused."""

import json

import pytest
from tests.test_settings import Run

from selfvos import api
from selfvos.errors import DataError, UsageError
from selfvos.settings import to_dict, update
from selfvos.tracking.settings import AttendConfig, MatchConfig, TrackConfig

YAML = """
seed: 4
joint:
  epochs: 3
  optimizer: {lr: 3e-5}
  objectives:
    l_short: {weight: 0.5}
"""
TOML = """
seed = 4
[joint]
epochs = 3
optimizer.lr = 3e-5
objectives.l_short.weight = 0.5
"""
JSON = '{"seed": 4, "joint.epochs": 3, "joint": {"optimizer.lr": 3e-5, "objectives": {"l_short": {"weight": 0.5}}}}'
SETS = ["seed=4", "joint.epochs=3", "joint.optimizer.lr=3e-5", "joint.objectives.l_short.weight=0.5"]


@pytest.mark.parametrize(("name", "text"), [("a.yaml", YAML), ("a.YML", YAML), ("a.toml", TOML), ("a.json", JSON)])
def test_a_file_says_what_set_says(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    changed = api.change_settings(api.recipe("mask_vos_resnet18"), files=[tmp_path / name])
    assert changed == api.recipe("mask_vos_resnet18", SETS)
    assert changed != api.recipe("mask_vos_resnet18")


def test_later_files_count_more_and_set_counts_most(tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 1\njoint: {epochs: 5}\nwarmup: {epochs: 6}")
    (tmp_path / "b.toml").write_text("seed = 2\njoint.epochs = 7")
    files = [tmp_path / "a.yaml", tmp_path / "b.toml"]
    changed = api.change_settings(api.recipe("mask_vos_resnet18"), files=files, sets=["seed=3"])
    assert (changed.seed, changed.joint.epochs, changed.warmup.epochs) == (3, 7, 6)


@pytest.mark.parametrize("name", ["mask_vos_resnet18_small", "crw_resnet18"])
def test_settings_of_a_run_are_taken_as_they_are(tmp_path, name):
    wanted = api.recipe(name, ["seed=9"])
    (tmp_path / "settings.json").write_text(json.dumps(to_dict(wanted)))
    for other in ("mask_vos_resnet18", "dino_resnet18" if "dino_resnet18" in api.names("recipes") else name):
        assert api.change_settings(api.recipe(other), files=[tmp_path / "settings.json"]) == wanted


def test_settings_of_a_track_are_taken_from_its_own_file(tmp_path):
    wanted = update(TrackConfig(), {"match": {"top_k": 3}, "frame": {"short_side_px": 99}})
    about = {"product": "selfvos", "version": "x", "settings": to_dict(wanted)}
    (tmp_path / "track.json").write_text(json.dumps(about))
    assert api.change_settings(TrackConfig(), files=[tmp_path / "track.json"]) == wanted


def test_update_changes_what_is_named_and_nothing_else():
    run = update(Run(), {"second": {"lr": 0.5}, "signals": {"long": {"settings": {"a": {"b": 1}}}, 0: {"weight": 2}}})
    assert (run.second.lr, run.second.schedule) == (0.5, "step")
    assert run.signals[1].settings == {"a": {"b": 1}}
    assert (run.signals[0].weight, run.signals[1].weight) == (2, 1)
    changes = {"signals.long.settings.a.c": 2, "optimizer.lr": 0.25, "optimizer": {"schedule": "cosine"}, "limit": None}
    again = update(run, changes)
    assert (again.optimizer.lr, again.optimizer.schedule) == (0.25, "cosine")
    assert again.signals[1].settings == {"a": {"b": 1, "c": 2}}
    assert again.limit is None
    assert update(again, {"signals": [{"name": "one"}]}).signals[0].weight == 1
    assert update(again, {}) == again


def test_a_group_that_is_one_of_several_is_changed_or_replaced():
    ours = update(TrackConfig(), {"match": {"top_k": 3}})
    assert ours.match == MatchConfig(top_k=3)
    theirs = update(ours, {"match": to_dict(AttendConfig())})
    assert theirs.match == AttendConfig()
    assert update(TrackConfig(), {"short_side_px": 240}).frame.short_side_px == 240


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("a.yaml", "joint: {epoch: 3}", UsageError, "unknown setting 'joint.epoch'; did you mean 'epochs'"),
        ("a.json", '{"sed": 3}', UsageError, "a.json: unknown setting 'sed'; did you mean 'seed'"),
        ("a.toml", "joint.objectives.l_shrt.weight = 1", UsageError, "did you mean 'l_short'"),
        ("a.yaml", "seed: many", UsageError, "setting seed"),
        ("a.yaml", "seed: 1\nseed: 2", DataError, "seed stands twice"),
        ("a.json", '{"seed": 1, "seed": 2}', DataError, "seed stands twice"),
        ("a.toml", "seed = 1\nseed = 2", DataError, "is no TOML"),
        ("a.yaml", "a: [", DataError, "is no YAML"),
        ("a.json", "[1]", DataError, "holds no settings"),
        ("a.ini", "seed=1", UsageError, "neither .yaml, .toml nor .json"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path, name, text, error, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=message) as caught:
        api.change_settings(api.recipe("mask_vos_resnet18"), files=[tmp_path / name])
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_missing_or_empty(tmp_path):
    with pytest.raises(UsageError, match="no settings file"):
        api.change_settings(TrackConfig(), files=[tmp_path / "none.yaml"])
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert api.change_settings(TrackConfig(), files=[tmp_path / "empty.yaml"]) == TrackConfig()
