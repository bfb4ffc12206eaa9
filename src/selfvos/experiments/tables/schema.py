"""Which way of learning correspondence the mask embedding is added to."""

from selfvos.experiments.tables.base import TABLES, Table, Variant

_ALONE = ("refine.rounds=0",)
_LAYER3 = (*_ALONE, "feature.stage=layer3")

TABLES.register("schema", about="Table 4f: MAST, CRW and L_corr, each with and without L_seg")(
    Table(
        title="Correspondence schema",
        number="Table 4f",
        about=(
            "Both rows of a pair share a warm-up on the schema's own loss and take as many steps after it, one of "
            "them with L_seg. L_seg trains the key, which its rows match; MAST and CRW alone match layer3, and no row "
            "without L_seg refines. MAST encodes at stride 4. How the paper's pairs were trained is not printed."
        ),
        variants=(
            Variant(
                name="MAST",
                source="mast_resnet18_l_seg",
                train=('joint.objectives=[{"name": "mast"}]',),
                track=_LAYER3,
                published=(65.5, 63.3, 67.6),
                fps=1.13,
            ),
            Variant(name="MAST+L_seg", source="mast_resnet18_l_seg", published=(69.0, 66.4, 71.6), fps=1.01),
            Variant(
                name="CRW",
                source="crw_resnet18_l_seg",
                train=('joint.objectives=[{"name": "crw"}]',),
                track=_LAYER3,
                published=(67.6, 64.6, 70.6),
                fps=1.86,
            ),
            Variant(name="CRW+L_seg", source="crw_resnet18_l_seg", published=(71.8, 68.3, 75.3), fps=1.77),
            Variant(
                name="L_corr",
                train=('joint.objectives=[{"name": "l_short"}, {"name": "l_long"}]',),
                track=_ALONE,
                published=(68.8, 66.7, 70.9),
                fps=1.86,
            ),
            Variant(name="L_corr+L_seg", published=(74.5, 71.6, 77.4), fps=1.77),
        ),
        adopted="L_corr+L_seg",
    )
)
