"""How many of the latest frames are remembered besides the first."""

from selfvos.experiments.tables.base import TABLES, Table, Variant

_PUBLISHED = {
    0: (68.8, 65.7, 71.9),
    15: (73.2, 70.4, 76.0),
    20: (74.5, 71.6, 77.4),
    25: (73.5, 70.9, 76.1),
    30: (72.8, 70.2, 75.3),
}

TABLES.register("references", about="Table 4b: reference frames besides the first; trains nothing")(
    Table(
        title="Reference frames",
        number="Table 4b",
        about="One set of weights, tracked with memories of different length.",
        variants=tuple(
            Variant(
                name=f"first+{last}" if last else "first",
                track=(f"memory.last={last}",),
                place=float(last),
                published=published,
            )
            for last, published in _PUBLISHED.items()
        ),
        adopted="first+20",
        trains=False,
        axis="latest frames remembered besides the first",
    )
)
