"""How often pseudo masks are made anew."""

from selfvos.experiments.tables.base import TABLES, Table, Variant


def _every(epochs: int, published: tuple[float, ...], name: str) -> Variant:
    settings = (f"pseudo_masks.refresh_epochs={epochs}",)
    # Made once, masks last for the whole joint phase, which has 100 epochs.
    tick = "" if epochs else "never"
    return Variant(name=name, train=settings, place=float(epochs or 100), tick=tick, published=published)


TABLES.register("period", about="Table 4d: epochs between two rounds of pseudo masks")(
    Table(
        title="Period of pseudo-mask updates",
        number="Table 4d",
        about=(
            "The rows share one warm-up. Periods are epochs of a joint phase of 100; where a budget leaves it fewer, "
            "they shrink in proportion, to one epoch at least, so that rows may come to the same training."
        ),
        variants=(
            _every(0, (71.1, 68.3, 73.9), "never"),
            _every(20, (72.8, 69.9, 75.7), "every-20"),
            _every(15, (73.9, 70.8, 77.0), "every-15"),
            _every(10, (74.5, 71.6, 77.4), "every-10"),
            _every(5, (72.5, 69.5, 75.5), "every-5"),
            _every(1, (69.7, 66.7, 72.6), "every-1"),
        ),
        adopted="every-10",
        axis="epochs between updates",
        scale="log",
    )
)
