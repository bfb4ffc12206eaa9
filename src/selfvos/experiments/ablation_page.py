"""An ablation as a page: one file, which opens anywhere and loads nothing."""

import base64
from collections.abc import Mapping, Sequence
from html import escape

from selfvos.evaluation.page import comparison_sections, page, picture, plain_table
from selfvos.evaluation.pictures import Picture
from selfvos.experiments.ablation import Ablation

_CLUSTERS = (
    "A frame of the training videos and its clusters in the last round of pseudo masks; colours have no meaning."
)


def page_of(
    found: Ablation,
    figures: Mapping[str, tuple[bytes, str]],
    pictures: Sequence[Picture],
    clusters: Sequence[tuple[str, bytes]],
) -> str:
    """Return an ablation as the text of an HTML page.

    Args:
        found: The table.
        figures: PNGs and what they show, by name; ``figure`` is the table's own.
        pictures: Frames to show.
        clusters: Name and JPEG of training videos with their clusters.
    """
    table = found.table
    notes = "".join(f"<p>{escape(note)}</p>" for note in found.notes())
    own, *others = figures.items()
    sections = {
        "Table": f"<p>{escape(table.about)}</p>{plain_table(found.rows())}{notes}",
        "Figure": picture(*own[1]),
        "What lies behind": "".join(picture(*figure) for _, figure in others),
        "Clusters": f"<p>{_CLUSTERS}</p>{''.join(map(_sheet, clusters))}" if clusters else "",
        **comparison_sections(found.comparison, pictures),
    }
    return page(f"{table.number}: {table.title}", found.comparison.first, sections)


def _sheet(named: tuple[str, bytes]) -> str:
    name, jpeg = named
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    caption = f"<figcaption><b>{escape(name)}</b></figcaption>"
    return f'<figure>{caption}<img style="max-width: 100%" alt="clusters of {escape(name)}" src="{source}"></figure>'
