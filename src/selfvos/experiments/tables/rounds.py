"""How often a mask is refined, and what that costs."""

from selfvos.experiments.tables.base import TABLES, Table, Variant

_PUBLISHED = (
    ((69.7, 67.3, 72.1), 1.86),
    ((72.6, 69.8, 75.4), 1.84),
    ((73.9, 71.1, 76.7), 1.80),
    ((74.5, 71.6, 77.4), 1.77),
    ((74.3, 71.2, 77.3), 1.73),
    ((74.0, 71.0, 77.0), 1.69),
)

TABLES.register("rounds", about="Table 4e: refinement rounds R, with speed; trains nothing")(
    Table(
        title="Refinement rounds",
        number="Table 4e",
        about=(
            "One set of weights; R = 0 is pure label propagation. The published speed names neither the processor nor "
            "the size of frames, and its steps alone can be compared."
        ),
        variants=tuple(
            Variant(
                name=f"R={rounds}",
                track=(f"refine.rounds={rounds}",),
                place=float(rounds),
                published=published,
                fps=fps,
            )
            for rounds, (published, fps) in enumerate(_PUBLISHED)
        ),
        adopted="R=3",
        trains=False,
        axis="refinement rounds R",
    )
)
