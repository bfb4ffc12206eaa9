import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfvos.errors import UsageError
from selfvos.settings import from_dict, override, to_dict


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["step", "cosine"] = "step"
    KIND: ClassVar[str] = "adam"

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr must be > 0, got {self.lr}")


@dataclass(frozen=True, kw_only=True)
class Signal:
    name: str
    weight: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    seed: int = 0
    title: str = "first"
    limit: int | None = 5
    cache: Path | None = None
    optimizer: Optimizer = field(default_factory=Optimizer)
    second: Optimizer | None = None
    signals: tuple[Signal, ...] = (Signal(name="short"), Signal(name="long"))


def test_to_dict_is_plain_json():
    assert to_dict(Run(cache=Path("a/b"), signals=())) == {
        "seed": 0,
        "title": "first",
        "limit": 5,
        "cache": "a/b",
        "optimizer": {"lr": 1e-3, "betas": [0.9, 0.999], "schedule": "step"},
        "second": None,
        "signals": [],
    }


@given(
    seed=st.integers(-(2**62), 2**62),
    title=st.text(max_size=9),
    lr=st.floats(1e-12, 1e12),
    weights=st.lists(st.floats(-1e9, 1e9), max_size=3),
    second=st.booleans(),
)
def test_settings_survive_the_way_through_json(seed, title, lr, weights, second):
    run = Run(
        seed=seed,
        title=title,
        optimizer=Optimizer(lr=lr),
        second=Optimizer(lr=lr, schedule="cosine") if second else None,
        signals=tuple(Signal(name="s", weight=weight, settings={"tau": weight}) for weight in weights),
    )
    assert from_dict(Run, json.loads(json.dumps(to_dict(run)))) == run


def test_missing_fields_take_their_defaults():
    assert from_dict(Run, {"seed": 3}) == Run(seed=3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"sed": 1}, "unknown setting 'sed'; did you mean 'seed'?"),
        ({"optimizer": {"lrr": 1}}, "unknown setting 'optimizer.lrr'; did you mean 'lr'?"),
        ({"second": {"lrr": 1}}, "unknown setting 'second.lrr'; did you mean 'lr'?"),
        ({"signals": [{"name": "a", "wieght": 2}]}, "unknown setting 'signals.0.wieght'; did you mean 'weight'?"),
        ({"optimizer": {"KIND": "sgd"}}, "unknown setting 'optimizer.KIND'; known: betas, lr, schedule"),
    ],
)
def test_an_unknown_field_is_refused_at_any_depth(data, message):
    with pytest.raises(UsageError) as caught:
        from_dict(Run, data)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("data", "start"),
    [
        ({"seed": "x"}, "setting seed: "),
        ({"seed": 1.5}, "setting seed: "),
        ({"optimizer": {"betas": [0.9]}}, "setting optimizer.betas"),
        ({"optimizer": {"schedule": "steep"}}, "setting optimizer.schedule: "),
        ({"optimizer": 3}, "setting optimizer: "),
        ({"signals": [{}]}, "setting signals.0.name: "),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_one_line_that_names_the_field(data, start):
    with pytest.raises(UsageError) as caught:
        from_dict(Run, data)
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


def test_a_check_of_the_settings_themselves_speaks_in_its_own_words():
    with pytest.raises(UsageError, match=r"^setting optimizer: lr must be > 0, got -1\.0$"):
        from_dict(Run, {"optimizer": {"lr": -1}})


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("seed=7", Run(seed=7)),
        (" seed = 7 ", Run(seed=7)),
        ("title=2017", Run(title="2017")),
        ("title=a=b", Run(title="a=b")),
        ('title="quoted"', Run(title="quoted")),
        ("limit=null", Run(limit=None)),
        ("limit=None", Run(limit=None)),
        ("cache=/videos/2017", Run(cache=Path("/videos/2017"))),
        ("optimizer.lr=3e-4", Run(optimizer=Optimizer(lr=3e-4))),
        ("optimizer.betas=[0.5, 0.9]", Run(optimizer=Optimizer(betas=(0.5, 0.9)))),
        ("optimizer.schedule=cosine", Run(optimizer=Optimizer(schedule="cosine"))),
        ("second.lr=2", Run(second=Optimizer(lr=2))),
        ("signals.1.weight=2", Run(signals=(Signal(name="short"), Signal(name="long", weight=2)))),
        ("signals.short.weight=0", Run(signals=(Signal(name="short", weight=0), Signal(name="long")))),
        (
            "signals.long.settings.tau=0.1",
            Run(signals=(Signal(name="short"), Signal(name="long", settings={"tau": 0.1}))),
        ),
        ("signals=[]", Run(signals=())),
    ],
)
def test_override_replaces_one_leaf_and_nothing_else(assignment, expected):
    before = Run()
    assert override(before, [assignment]) == expected
    assert before == Run()


def test_later_assignments_win():
    assert override(Run(), ["seed=1", "optimizer.lr=1", "seed=2"]) == Run(seed=2, optimizer=Optimizer(lr=1))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("seed", "'seed' is not a setting; write field=value, for instance seed=1"),
        ("sede=1", "unknown setting 'sede'; did you mean 'seed'?"),
        ("optimiser.lr=1", "unknown setting 'optimiser.lr'; did you mean 'optimizer'?"),
        ("optimizer.scedule=step", "unknown setting 'optimizer.scedule'; did you mean 'schedule'?"),
        ("signals.shrt.weight=1", "unknown setting 'signals.shrt.weight'; did you mean 'short'?"),
        ("signals.2.weight=1", "unknown setting 'signals.2.weight'; known: long, short"),
        ("seed.x=1", "setting 'seed.x': what holds 'x' is a single value, not a group"),
        ("optimizer.lr=0", "setting optimizer: lr must be > 0, got 0.0"),
    ],
)
def test_override_says_what_is_wrong_and_names_the_nearest(assignment, message):
    with pytest.raises(UsageError) as caught:
        override(Run(), [assignment])
    assert str(caught.value) == message
    assert caught.value.exit_status == 2


def test_override_refuses_a_value_of_the_wrong_kind():
    with pytest.raises(UsageError, match=r"^setting seed: .*'many'"):
        override(Run(), ["seed=many"])


def test_override_reaches_into_free_form_settings_that_are_not_there_yet():
    config = override(Run(), ["signals.short.settings.transform.min_scale=0.3", "signals.short.settings.a=2"])
    assert config.signals[0].settings == {"transform": {"min_scale": 0.3}, "a": 2}


@dataclass(frozen=True, kw_only=True)
class Groups:
    inner: Optimizer = field(default_factory=Optimizer)
    outer: Signal = field(default_factory=lambda: Signal(name="a"))


def test_a_field_of_a_single_group_needs_no_group():
    assert override(Groups(), ["lr=0.5", "weight=2"]) == override(Groups(), ["inner.lr=0.5", "outer.weight=2"])
    with pytest.raises(UsageError, match="unknown setting 'lr'"):
        override(Run(), ["lr=1"])  # `optimizer` and `second` both have one
