"""Which losses it takes."""

import json

from selfvos.experiments.tables.base import TABLES, Table, Variant


def _learning(*names: str, masks: bool = False) -> tuple[str, ...]:
    correspondence = [{"name": name} for name in names]
    joint = [{"name": "l_seg"}, *correspondence] if masks else correspondence
    return f"warmup.objectives={json.dumps(correspondence)}", f"joint.objectives={json.dumps(joint)}"


TABLES.register("losses", about="Table 4a: L_short, L_long, L_seg and their sums")(
    Table(
        title="Losses",
        number="Table 4a",
        about=(
            "All rows take as many steps. Rows without L_seg go on with their own losses, at the same rates, where "
            "the others join L_seg; the rows with both correspondence losses share one warm-up. Without L_seg nothing "
            "has taught V and D, hence no refinement. L_seg alone starts from random weights, at the rate of a "
            "warm-up, and makes its pseudo masks with the encoder that it has. The paper does not print how its rows "
            "were trained: all of this is inferred."
        ),
        variants=(
            Variant(
                name="L_short", train=_learning("l_short"), track=("refine.rounds=0",), published=(57.4, 55.8, 58.9)
            ),
            Variant(name="L_long", train=_learning("l_long"), track=("refine.rounds=0",), published=(67.2, 64.9, 69.5)),
            Variant(
                name="L_short+L_long",
                train=_learning("l_short", "l_long"),
                track=("refine.rounds=0",),
                published=(68.8, 66.7, 70.9),
            ),
            Variant(
                name="L_seg",
                train=("warmup.epochs=0", 'joint.objectives=[{"name": "l_seg"}]', "joint.optimizer.lr=1e-4"),
                published=(62.3, 60.5, 64.0),
            ),
            Variant(
                name="L_seg+L_short+L_long",
                train=_learning("l_short", "l_long", masks=True),
                published=(74.5, 71.6, 77.4),
            ),
        ),
        adopted="L_seg+L_short+L_long",
    )
)
