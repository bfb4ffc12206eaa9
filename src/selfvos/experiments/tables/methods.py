"""The methods of Tables 1 to 3, each by its own recipe."""

from selfvos.experiments.tables.base import TABLES, Table, Variant

_FIVE = ("J&F-Mean", "J-Mean", "J-Recall", "F-Mean", "F-Recall")
_ABOUT = (
    "Every method learns by its recipe and tracks as it recommends, all from the same videos, where the published "
    "rows have their own. Supervised rows and those without a recipe are left out."
)
_OURS = "Mask-VOS-R18"


def _rows(published: dict[str, tuple[str, tuple[float, ...]]]) -> tuple[Variant, ...]:
    return tuple(Variant(name=name, source=source, published=row) for name, (source, row) in published.items())


TABLES.register("table1", about="Table 1: self-supervised methods, published on DAVIS 2017 val")(
    Table(
        title="Self-supervised methods",
        number="Table 1",
        about=_ABOUT,
        variants=_rows(
            {
                "Colorization": ("colorization_resnet18", (34.0, 34.6, 34.1, 32.7, 26.8)),
                "CorrFlow": ("corrflow_resnet18", (50.3, 48.4, 53.2, 52.2, 56.0)),
                "TimeCycle": ("timecycle_resnet50", (48.7, 46.4, 50.0, 50.0, 48.0)),
                "UVC": ("uvc_resnet18", (57.8, 56.3, 65.0, 59.2, 64.1)),
                "MuG": ("mug_resnet18", (54.3, 52.6, 57.4, 56.1, 58.1)),
                "MAST": ("mast_resnet18", (65.5, 63.3, 73.2, 67.6, 77.7)),
                "CRW": ("crw_resnet18", (68.3, 65.5, 78.6, 71.0, 82.9)),
                "ConCorr": ("concorr_resnet18", (63.0, 60.5, 70.6, 65.5, 73.0)),
                "CLTC": ("cltc_resnet18", (70.3, 67.9, 78.2, 72.6, 83.7)),
                "JSTG": ("jstg_resnet18", (68.7, 65.8, 77.7, 71.6, 84.3)),
                "VFS-R18": ("vfs_resnet18", (67.9, 65.0, 77.2, 70.8, 82.3)),
                "VFS-R50": ("vfs_resnet50", (69.4, 66.7, 78.6, 72.0, 85.2)),
                "DINO-R50": ("dino_resnet50", (56.2, 54.5, 58.1, 57.9, 60.3)),
                "DUL": ("dul_resnet18", (69.3, 67.1, 81.2, 71.6, 84.9)),
                "SCR": ("scr_resnet18", (70.5, 67.4, 78.8, 73.6, 84.6)),
                "LIIR": ("liir_resnet18", (72.1, 69.7, 81.4, 74.5, 85.9)),
                _OURS: ("mask_vos_resnet18", (74.5, 71.6, 82.9, 77.4, 86.9)),
                "Mask-VOS-R50": ("mask_vos_resnet50", (75.6, 73.3, 83.6, 77.8, 87.3)),
            }
        ),
        adopted=_OURS,
        columns=_FIVE,
    )
)
_UNKNOWN = float("nan")
TABLES.register("table2", about="Table 2: self-supervised methods, published on DAVIS 2017 test-dev")(
    Table(
        title="Self-supervised methods",
        number="Table 2",
        about=f"{_ABOUT} True masks of test-dev are on its server alone: name another --benchmark.",
        variants=_rows(
            {
                "CRW": ("crw_resnet18", (55.9, 52.3, _UNKNOWN, 59.6, _UNKNOWN)),
                "DUL": ("dul_resnet18", (57.0, 53.5, 60.4, 60.5, 67.6)),
                "SCR": ("scr_resnet18", (59.9, 55.9, _UNKNOWN, 64.0, _UNKNOWN)),
                "LIIR": ("liir_resnet18", (57.5, 55.2, 63.1, 59.8, 68.6)),
                _OURS: ("mask_vos_resnet18", (61.3, 59.4, 66.5, 63.1, 73.7)),
                "Mask-VOS-R50": ("mask_vos_resnet50", (62.4, 60.6, 66.9, 64.2, 74.3)),
            }
        ),
        adopted=_OURS,
        columns=_FIVE,
        published_on="davis-2017-test-dev",
    )
)
TABLES.register("table3", about="Table 3: self-supervised methods, published on YouTube-VOS 2018 valid")(
    Table(
        title="Self-supervised methods",
        number="Table 3",
        about=f"{_ABOUT} True masks of this list are on its server alone: name another --benchmark.",
        variants=_rows(
            {
                "Colorization": ("colorization_resnet18", (38.9, 43.1, 38.6, 36.6, 37.4)),
                "CorrFlow": ("corrflow_resnet18", (46.6, 50.6, 46.6, 43.8, 45.6)),
                "MAST": ("mast_resnet18", (64.2, 63.9, 64.9, 60.3, 67.7)),
                "CRW": ("crw_resnet18", (68.7, 67.4, 69.1, 65.1, 73.2)),
                "CLTC": ("cltc_resnet18", (67.3, 66.2, 67.9, 63.2, 71.7)),
                "DUL": ("dul_resnet18", (69.9, 69.6, 71.3, 65.0, 73.5)),
                "LIIR": ("liir_resnet18", (69.3, 67.9, 69.7, 65.7, 73.8)),
                _OURS: ("mask_vos_resnet18", (71.6, 71.0, 74.2, 66.0, 75.3)),
                "Mask-VOS-R50": ("mask_vos_resnet50", (72.4, 71.7, 74.6, 67.0, 76.2)),
            }
        ),
        adopted=_OURS,
        columns=("G", "J_seen", "F_seen", "J_unseen", "F_unseen"),
        published_on="youtube-vos-2018-valid",
    )
)
