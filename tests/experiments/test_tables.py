import pytest

from selfvos import api
from selfvos.experiments import planning
from selfvos.experiments.compare import Budget
from selfvos.experiments.systems import in_proportion
from selfvos.experiments.tables import TABLES, Table, Variant

# Table 4 of the paper, adopted rows; and rows of Tables 1 to 3.
KNOWN = {
    "losses": ("L_seg+L_short+L_long", (74.5, 71.6, 77.4)),
    "references": ("first+20", (74.5, 71.6, 77.4)),
    "clusters": ("M=5", (74.5, 71.6, 77.4)),
    "period": ("every-10", (74.5, 71.6, 77.4)),
    "rounds": ("R=3", (74.5, 71.6, 77.4)),
    "schema": ("L_corr+L_seg", (74.5, 71.6, 77.4)),
    "table1": ("Mask-VOS-R18", (74.5, 71.6, 82.9, 77.4, 86.9)),
    "table2": ("Mask-VOS-R18", (61.3, 59.4, 66.5, 63.1, 73.7)),
    "table3": ("Mask-VOS-R18", (71.6, 71.0, 74.2, 66.0, 75.3)),
}


def test_these_tables_are_there():
    assert {
        name: (t.adopted, t.variant(t.adopted).published) for name in TABLES.names() if (t := TABLES.get(name))
    } == (KNOWN)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_the_published_mean_is_that_of_its_parts(name):
    table = TABLES.get(name)
    if table.columns[0] != "J&F-Mean":
        pytest.skip("another kind of mean")
    for variant in table.variants:
        row = dict(zip(table.columns, variant.published, strict=True))
        # Printed so: Colorization 34.0 for 33.65, TimeCycle 48.7 for 48.2.
        assert row["J&F-Mean"] == pytest.approx((row["J-Mean"] + row["F-Mean"]) / 2, abs=0.51), variant.name


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_row_can_be_planned(name, tmp_path):
    table = TABLES.get(name)
    asked = planning.plan(table, tmp_path, Budget(videos=(tmp_path,), steps=1000), weights=["default"])
    assert list(asked.seeds) == [variant.name for variant in table.variants]
    for step in asked.steps.values():
        if step.training:
            phases = step.training.warmup, step.training.joint
            assert sum(phase.epochs * phase.steps_per_epoch for phase in phases) == 1000
    if name in ("losses", "clusters", "period", "schema"):
        assert sum(step.warmup is not None for step in asked.steps.values()) == {"losses": 2}.get(
            name, len(table.variants)
        )


def test_rows_that_differ_from_the_adopted_one_in_one_setting_share_its_warmup(tmp_path):
    asked = planning.plan(TABLES.get("schema"), tmp_path, Budget(videos=(tmp_path,), steps=1000))
    warmups = [asked.steps[name].warmup for name in asked.seeds]
    assert warmups[0] == warmups[1] != warmups[2] == warmups[3] != warmups[4] == warmups[5]
    assert len(set(warmups)) == 3


def test_seeds_and_weights_become_systems_of_their_own(tmp_path):
    budget = Budget(videos=(tmp_path,), steps=1000)
    trained = planning.plan(TABLES.get("clusters"), tmp_path, budget, seeds=2)
    assert [system.name for system in trained.seeds["M=3"]] == ["M=3", "M=3.2"]
    assert [trained.steps[name].training.seed for name in ("M=3", "M=3.2")] == [32, 33]
    assert len({step.warmup for step in trained.steps.values()}) == 2
    tracked = planning.plan(TABLES.get("rounds"), tmp_path, Budget(), weights=["default", "lab-patches"])
    assert [system.source for system in tracked.seeds["R=0"]] == ["default", "lab-patches"]


def test_rows_that_a_budget_makes_the_same_share_one_training(tmp_path):
    asked = planning.plan(TABLES.get("period"), tmp_path, Budget(videos=(tmp_path,), steps=40))
    assert asked.same == {"every-1": "every-5"}
    assert asked.steps["every-1"].run == asked.steps["every-5"].run


@pytest.mark.parametrize("steps", [2, 7, 150, 1000])
def test_a_budget_keeps_how_the_joint_phase_is_divided(steps):
    whole = api.recipe("mask_vos_resnet18")
    config = in_proportion(whole, steps)
    spent = [phase.epochs * phase.steps_per_epoch for phase in (config.warmup, config.joint)]
    assert sum(spent) == steps
    assert abs(spent[0] - spent[1]) < 2 * config.joint.epochs
    assert config.joint.epochs == min(100, steps // 2)
    assert config.pseudo_masks.refresh_epochs == max(1, round(config.joint.epochs / 10))
    assert in_proportion(whole, 0) == whole


def test_a_table_refuses_rows_that_do_not_fit():
    with pytest.raises(ValueError, match="is to be one of them"):
        Table(title="t", number="1", about="", variants=(Variant(name="a"),), adopted="b")
    with pytest.raises(ValueError, match="3 numbers, or none"):
        Table(title="t", number="1", about="", variants=(Variant(name="a", published=(1.0,)),), adopted="a")
