"""What a table is: rows, how each differs from the base recipe, and what was published for it."""

from dataclasses import dataclass
from typing import Literal

from selfvos.registry import Registry

DAVIS_2017 = "davis-2017-val"
J_AND_F = ("J&F-Mean", "J-Mean", "F-Mean")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row: what it changes, and what was published for it."""

    name: str
    """What the row is called; it also names folders."""
    source: str = ""
    """Recipe of the row; empty: the one that the table is asked for with."""
    train: tuple[str, ...] = ()
    """Settings of the training that are the row's own, as in ``pseudo_masks.clusters.clusters=3``."""
    track: tuple[str, ...] = ()
    """Settings of the tracking that are the row's own, as in ``refine.rounds=0``."""
    place: float | None = None
    """Where the row stands on the axis of its table's figure."""
    tick: str = ""
    """What is written there; empty: the place itself."""
    published: tuple[float, ...] = ()
    """Published scores in %, in the order of the table's columns; empty where there are none."""
    fps: float | None = None
    """Published frames per second."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that are trained, tracked and scored alike but for what each of them changes."""

    title: str
    """What is varied."""
    number: str
    """Where it was published, as in ``Table 4a``."""
    about: str
    """How the rows come about, and what of that is not published."""
    variants: tuple[Variant, ...]
    """Rows, in the published order."""
    adopted: str
    """Row that the others are set against."""
    trains: bool = True
    """Whether rows are trained; otherwise all track with the same weights."""
    axis: str = ""
    """What the places of the rows measure; empty where rows have no order."""
    scale: Literal["linear", "log"] = "linear"
    """Of that axis."""
    columns: tuple[str, ...] = J_AND_F
    """Columns of the published scores, named as in reports."""
    published_on: str = DAVIS_2017
    """Benchmark of the published scores."""

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if self.adopted not in names or len(set(names)) != len(names):
            raise ValueError(f"{self.title}: rows need different names, and {self.adopted!r} is to be one of them")
        if any(len(variant.published) not in (0, len(self.columns)) for variant in self.variants):
            raise ValueError(f"{self.title}: published scores are {len(self.columns)} numbers, or none")

    def variant(self, name: str) -> Variant:
        """Return the row called so."""
        return next(variant for variant in self.variants if variant.name == name)


TABLES: Registry[Table] = Registry("table", "selfvos.experiments.tables")
