"""Reports and comparisons as pages: one file each, which opens anywhere and loads nothing."""

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template

import numpy as np
from jaxtyping import Float64

from selfvos.evaluation.comparison import SHARE, Cell, Comparison, Difference, signed
from selfvos.evaluation.metrics import statistics
from selfvos.evaluation.pictures import PER_OBJECT, Picture
from selfvos.evaluation.report import ObjectSeries, Report, decimals

_COLOURS = 7

# Inside of a chart, in units of its drawing.
_WIDTH, _HEIGHT, _LEFT, _TOP, _ACROSS, _DOWN = 360, 176, 38, 6, 314, 132


def report_page(report: Report, pictures: Sequence[Picture] = ()) -> str:
    """Return a report as the text of an HTML page.

    Args:
        report: Any report; a curve is drawn for every measure of its series.
        pictures: Frames to show; see `worst_frames` and `take_pictures`.
    """
    tables = [[list(map(Cell, row)) for row in table] for table in report.tables()]
    attributes = [tables.pop()] if report.per_attribute else []
    sections = {
        "Scores": _SCALE + "".join(_table(table, report.per_object) for table in tables),
        "Attributes": "".join(_ATTRIBUTES + _table(table) for table in attributes),
        "Curves": _curves_lead(pictures) + _grid("curves", [_figure(one, pictures) for one in report.series]),
        "Worst frames": _gallery(_WORST, "cards", pictures),
        "Provenance": _origin([["", ""], *([key, str(value)] for key, value in report.provenance.items())]),
    }
    return page(report.protocol, report, sections)


def comparison_page(comparison: Comparison, pictures: Sequence[Picture] = ()) -> str:
    """Return a comparison as the text of an HTML page.

    Args:
        comparison: Any comparison; for each object and measure one plot holds the curves of all results.
        pictures: Frames to show; see `frames_apart` and `take_pictures`.
    """
    return page(" / ".join(comparison.names), comparison.first, comparison_sections(comparison, pictures))


def comparison_sections(comparison: Comparison, pictures: Sequence[Picture] = ()) -> dict[str, str]:
    """Return the parts of a comparison's page as HTML, by heading; see `comparison_page`."""
    figures = [
        _common_figure({name: one.series[i] for name, one in comparison.reports.items()}, pictures)
        for i in range(len(comparison.first.series))
    ]
    origins = [[cell.text for cell in row] for row in comparison.origins()]
    return {
        "Scores": _SCALE + _table(comparison.summary()),
        "Differences": _differences(comparison),
        "Objects": f"<p>{escape(comparison.column)} of each object; diff is against {escape(comparison.names[0])}.</p>"
        + _table(comparison.objects(), comparison.first.per_object),
        "Curves": _curves_lead(pictures) + _grid("curves single", figures),
        "Frames apart": _gallery(_APART, "cards single", pictures),
        "Provenance": _origin(origins),
    }


_SCALE = (
    "<p>Scores run from 0 to 1, and from \u22121 to 1 for decay, of which less is better. "
    "Click on a heading to sort.</p>"
)
_ATTRIBUTES = "<p>Means over the objects whose video has the attribute, and over the others.</p>"
_WORST = (
    f"The frames with the lowest scores, at most {PER_OBJECT} of an object. "
    "Left the outline of the true masks, right the result."
)
_APART = f"The frames in which the results differ most, at most {PER_OBJECT} of an object."


def page(title: str, report: Report, sections: Mapping[str, str]) -> str:
    """Return a page of several parts.

    Args:
        title: Its heading.
        report: What was scored; any of several on the same data.
        sections: HTML by heading, in order; empty parts are left out.
    """
    filled = {name: html for name, html in sections.items() if html}
    places = {name: name.lower().replace(" ", "-") for name in filled}
    template = resources.files("selfvos.evaluation").joinpath("assets/page.html").read_text(encoding="utf-8")
    heading = report.protocol if title != report.protocol else "selfvos report"
    return Template(template).substitute(
        title=escape(title),
        subtitle=escape(f"{heading}, {report.objects} {report.unit}, {report.frames} frames"),
        note=f'<p class="note">{escape(report.note)}</p>' if report.note else "",
        contents="".join(f'<a href="#{places[name]}">{name}</a>' for name in filled),
        body="\n".join(f'<h2 id="{places[name]}">{name}</h2>\n{html}' for name, html in filled.items()),
    )


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Return cells, header first, as a table that sorts by its headings."""
    return _table([[Cell(text) for text in row] for row in rows])


def picture(png: bytes, about: str) -> str:
    """Return a figure that is part of the page, with its caption."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    image = f'<img style="max-width: 100%" alt="{escape(about)}" src="{source}">'
    return f"<figure>{image}<figcaption>{escape(about)}</figcaption></figure>"


def _table(rows: Sequence[Sequence[Cell]], linked: Collection[str] = ()) -> str:
    """Return a table that sorts by its headings; the row of the whole stays on top, `linked` rows lead to curves."""
    header, *body = rows
    bars = next((i for i, cell in enumerate(header) if cell.text.endswith("-Mean")), 0)
    headings = "".join(f"<th><button>{escape(cell.text)}</button></th>" for cell in header)
    whole = "".join(_row(row, bars, linked) for row in body if _is_whole(row))
    parts = "".join(_row(row, bars, linked) for row in body if not _is_whole(row))
    return (
        f'<div class="wide"><table class="sortable"><thead><tr>{headings}</tr></thead>'
        f'<tbody class="whole">{whole}</tbody><tbody>{parts}</tbody></table></div>\n'
    )


def _is_whole(row: Sequence[Cell]) -> bool:
    return row[0].text == "all" or row[0].text.startswith("all (")


def _row(row: Sequence[Cell], bars: int, linked: Collection[str]) -> str:
    name = escape(row[0].text)
    cells = [f'<td><a href="#{_place(row[0].text)}">{name}</a></td>' if row[0].text in linked else f"<td>{name}</td>"]
    for i, cell in enumerate(row[1:], start=1):
        bar = f' class="bar" style="--v:{float(cell.text)}"' if i == bars and cell.text[-1:].isdigit() else ""
        shown = _number(cell.text)
        cells.append(f"<td{bar}>{f'<b>{shown}</b>' if cell.best else shown}</td>")
    return f"<tr>{''.join(cells)}</tr>\n"


def _number(text: str) -> str:
    return re.sub(r"(?<![\w.])-(?=\d)", "\u2212", escape(text))


def _place(name: str) -> str:
    """Return the name of the place that shows an object's curves."""
    return "object-" + re.sub(r"[^\w.-]", "-", name)


def _origin(rows: Sequence[Sequence[str]]) -> str:
    header, *body = rows
    headings = "".join(f"<th>{escape(text)}</th>" for text in header)
    lines = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>\n" for row in body)
    return f'<table class="origin"><thead><tr>{headings}</tr></thead><tbody>{lines}</tbody></table>' if body else ""


def _grid(kind: str, items: Sequence[str]) -> str:
    return f'<div class="{kind}">' + "\n".join(items) + "</div>"


def _curves_lead(pictures: Sequence[Picture]) -> str:
    dotted = " Dotted: frames pictured below." if pictures else ""
    return f"<p>Every frame that counts; point at a curve to read its values.{dotted}</p>"


def _figure(series: ObjectSeries, pictures: Sequence[Picture]) -> str:
    return _captioned(series.name, _keys(series.values), _chart(series, series.values, pictures))


def _common_figure(series: Mapping[str, ObjectSeries], pictures: Sequence[Picture]) -> str:
    """Return one object's curves of all results: a panel for each measure."""
    one = next(iter(series.values()))
    panels = []
    for measure in one.values:
        lines = {name: each.values[measure] for name, each in series.items()}
        panels.append(f"<div>{_chart(one, lines, pictures, measure)}</div>")
    means = {name: each.level() for name, each in series.items()}
    return _captioned(one.name, _keys(means), f'<div class="panels">{"".join(panels)}</div>')


def _captioned(name: str, keys: str, drawing: str) -> str:
    return f'<figure id="{_place(name)}"><figcaption><b>{escape(name)}</b>{keys}</figcaption>{drawing}</figure>'


def _keys(lines: Mapping[str, Float64[np.ndarray, "_"]]) -> str:
    """Return the legend: colour, name and mean of each line."""
    means = (decimals(statistics(values).mean) for values in lines.values())
    return "".join(
        f'<span class="key c{i % _COLOURS}">{escape(name)} {mean}</span>'
        for i, (name, mean) in enumerate(zip(lines, means, strict=True))
    )


def _chart(
    series: ObjectSeries,
    lines: Mapping[str, Float64[np.ndarray, "_"]],
    pictures: Sequence[Picture],
    label: str = "",
) -> str:
    """Return the curves of one object as an SVG drawing, from 0 to 1 over its frames."""
    label = label or ", ".join(lines)
    frames, bottom = series.frames, _TOP + _DOWN
    parts = [f'<rect class="area" x="{_LEFT}" y="{_TOP}" width="{_ACROSS}" height="{_DOWN}"/>']
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _ACROSS}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 3.5}" text-anchor="end">{value:g}</text>')
    for t in sorted({round(t) for t in np.linspace(0, len(frames) - 1, 4)}):
        x = _x(t, len(frames))
        parts.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{escape(frames[t])}</text>')
    parts.append(f'<text x="{_LEFT + _ACROSS / 2}" y="{bottom + 29}" text-anchor="middle">frame</text>')
    middle = _TOP + _DOWN / 2
    parts.append(f'<text transform="translate(9 {middle}) rotate(-90)" text-anchor="middle">{escape(label)}</text>')
    for picture in pictures:
        if picture.object == series.name:
            x = _x(frames.index(picture.frame), len(frames))
            parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}"/>')
    parts += [_line(i, name, values) for i, (name, values) in enumerate(lines.items())]
    parts.append(f'<line class="cursor" y1="{_TOP}" y2="{bottom}"/>')
    about = escape(f"{label} of {series.name} from frame {frames[0]} to {frames[-1]}")
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{about}" '
        f'data-frames="{escape("/".join(frames))}">{"".join(parts)}</svg>'
    )


def _line(i: int, name: str, values: Float64[np.ndarray, "_"]) -> str:
    """Return one curve, broken where it is undefined; a frame between two breaks is a dot."""
    path, pen = "", "M"
    for t, value in enumerate(values):
        if np.isnan(value):
            pen = "M"
        else:
            path += f"{pen}{_x(t, len(values))} {_y(float(value))}" + ("h0" if pen == "M" else "")
            pen = "L"
    spelt = " ".join(decimals(float(value)) for value in values)
    return f'<path class="line c{i % _COLOURS}" data-name="{escape(name)}" data-values="{spelt}" d="{path}"/>'


def _x(t: int, count: int) -> float:
    return round(_LEFT + _ACROSS * t / max(count - 1, 1), 1)


def _y(value: float) -> float:
    return round(_TOP + _DOWN * (1 - value), 1)


def _gallery(lead: str, kind: str, pictures: Sequence[Picture]) -> str:
    return f"<p>{lead}</p>" + _grid(kind, list(map(_card, pictures))) if pictures else ""


def _card(picture: Picture) -> str:
    views = "".join(
        f'<div><img alt="{escape(f"{picture.object}, frame {picture.frame}, {view.caption}")}" '
        f'src="data:image/jpeg;base64,{base64.b64encode(view.jpeg).decode()}"><span>{escape(view.caption)}</span></div>'
        for view in picture.views
    )
    name = f'<a href="#{_place(picture.object)}">{escape(picture.object)}</a>'
    caption = f"<figcaption><b>{name}</b>frame {escape(picture.frame)}</figcaption>"
    return f'<figure>{caption}<div class="views">{views}</div></figure>'


def _differences(comparison: Comparison) -> str:
    """Return the table of mean differences, the leading one also drawn with its interval."""
    columns = list(comparison.differences[comparison.names[1]])
    drawn = [found[comparison.column] for found in comparison.differences.values()]
    reach = max((abs(end) for one in drawn for end in (one.mean, one.low, one.high) if end == end), default=0.0)
    rows = []
    for name, found in comparison.differences.items():
        lead = found[comparison.column]
        cells = [_interval(lead, reach), *(_number(str(found[column])) for column in columns)]
        cells.append(f"{lead.ahead} of {lead.videos}")
        rows.append(f"<tr><td>{escape(name)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n")
    headings = "".join(f"<th>{escape(text)}</th>" for text in ["", "", *columns, "videos ahead"])
    return (
        f"<p>Mean difference to {escape(comparison.names[0])} over the same objects, with its {SHARE:.0%} interval: "
        "bootstrap, in which whole videos are drawn.</p>"
        f'<div class="wide"><table><thead><tr>{headings}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _interval(one: Difference, reach: float) -> str:
    def x(value: float) -> float:
        return round(100 + (90 * value / reach if reach else 0.0), 1)

    parts = ['<line class="grid" x1="100" x2="100" y1="0" y2="14"/>']
    if one.low == one.low:
        parts.append(f'<line class="span" x1="{x(one.low)}" x2="{x(one.high)}" y1="7" y2="7"/>')
    if one.mean == one.mean:
        parts.append(f'<circle class="dot" cx="{x(one.mean)}" cy="7" r="4"/>')
    drawing = "".join(parts)
    return f'<svg class="interval" viewBox="0 0 200 14" role="img" aria-label="{signed(one.mean)}">{drawing}</svg>'
