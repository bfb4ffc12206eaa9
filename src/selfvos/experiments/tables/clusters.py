"""Into how many clusters each training video falls."""

from selfvos.experiments.tables.base import TABLES, Table, Variant

_PUBLISHED = {
    2: (67.5, 65.2, 69.8),
    3: (71.6, 69.0, 74.2),
    5: (74.5, 71.6, 77.4),
    8: (72.5, 69.6, 75.4),
    10: (70.1, 67.3, 72.9),
}

TABLES.register("clusters", about="Table 4c: clusters M of each training video")(
    Table(
        title="Clusters of a training video",
        number="Table 4c",
        about="The rows share one warm-up and differ in the pseudo masks of the joint phase.",
        variants=tuple(
            Variant(
                name=f"M={count}",
                train=(f"pseudo_masks.clusters.clusters={count}",),
                place=float(count),
                published=published,
            )
            for count, published in _PUBLISHED.items()
        ),
        adopted="M=5",
        axis="clusters M",
    )
)
