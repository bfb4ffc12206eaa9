import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from selfvos.evaluation.comparison import compare
from selfvos.evaluation.page import comparison_page, report_page
from selfvos.evaluation.pictures import Picture, View
from selfvos.evaluation.report import ObjectSeries, Report

EMPTY = {"meta", "img", "br", "link", "input"}


class Nesting(HTMLParser):
    """Follows opening and closing tags, and collects attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.tags = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        known = dict(attributes)
        self.ids += [known["id"]] if "id" in known else []
        self.links += [known["href"]] if "href" in known else []
        self.sources += [known["src"]] if "src" in known else []
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, _):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page):
    parser = Nesting()
    parser.feed(page)
    assert parser.open == []
    return parser


def report(measures=("J", "F"), scale=1.0, video="dog", note=""):
    frames = tuple(f"{t:05d}" for t in range(1, 6))
    values = {name: scale * np.linspace(1, 0.2 * (i + 1), 5) for i, name in enumerate(measures)}
    series = tuple(ObjectSeries(video=video, object=one, frames=frames, values=values) for one in (1, 2))
    means = {f"{name}-Mean": float(values[name].mean()) for name in measures}
    return Report(
        protocol="davis-2017-val",
        subset="val",
        note=note,
        overall=means,
        per_object={one.name: means for one in series},
        series=series,
        provenance={"data": "d" * 64, "track.top_k": "5"},
    )


PICTURE = Picture(object="dog_1", frame="00003", views=(View("truth", b"one"), View("result: J 0.5", b"two")))


@pytest.mark.parametrize("measures", [("J", "F"), ("PCK@0.1",), ("a", "b", "c", "d", "e", "f", "g", "h")])
def test_every_measure_of_every_object_has_a_curve(measures):
    page = report_page(report(measures))
    tags = parsed(page).tags
    assert tags.count("svg") == 2
    assert tags.count("path") == 2 * len(measures)
    for name in measures:
        assert page.count(f'data-name="{name}"') == 2


def test_curves_carry_their_values_and_frames():
    page = report_page(report(("J",)))
    assert 'data-values="1.000 0.800 0.600 0.400 0.200"' in page
    assert 'data-frames="00001/00002/00003/00004/00005"' in page
    first, *_, last = re.search(r'class="line c0".*? d="M([^"]*)"', page)[1].split("L")
    assert first == "38.0 6.0h0"  # value 1: at the top
    assert float(last.split()[1]) == pytest.approx(6 + 132 * 0.8)


def test_undefined_frames_break_the_curve():
    broken = report(("J",))
    broken.series[0].values["J"][1] = np.nan
    page = report_page(broken)
    assert 'data-values="1.000 - 0.600 0.400 0.200"' in page
    assert re.search(r' d="([^"]*)"', page)[1].count("M") == 2
    assert not re.search(r"\bnan\b", page)


def test_an_object_that_is_never_defined_has_no_mean():
    page = report_page(report(scale=float("nan")))
    assert "J -</span>" in page
    assert 'd=""' in page


def test_the_page_is_whole_and_loads_nothing():
    page = report_page(report(note="2 of 30 sequences listed"), [PICTURE])
    found = parsed(page)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    assert all(link.startswith("#") for link in found.links)
    assert found.sources == ["data:image/jpeg;base64,b25l", "data:image/jpeg;base64,dHdv"]
    assert "http" not in page
    assert "2 of 30 sequences listed" in page
    assert "$" not in page
    assert len(set(found.ids)) == len(found.ids)


def test_the_page_says_where_its_numbers_come_from():
    page = report_page(report())
    assert "d" * 64 in page
    assert "track.top_k" in page


def test_pictured_frames_are_marked_in_the_curve():
    assert report_page(report()).count('class="mark"') == 0
    page = report_page(report(), [PICTURE])
    assert page.count('class="mark"') == 1
    assert "Worst frames" in page


def test_attributes_show_where_they_are_known():
    assert "Attributes" not in report_page(report())
    page = report_page(report().with_attributes({"dog": ("FM",)}))
    assert "FM fast motion" in page
    parsed(page)


def test_whatever_is_named_stays_text():
    evil = "<script>alert('&\"')</script>"
    page = report_page(replace(report(video=evil, note=evil), provenance={evil: evil}), [replace(PICTURE, object=evil)])
    assert "<script>alert" not in page
    parsed(page)


def test_signs_are_typographic_only_in_numbers():
    scores = replace(report(), per_object={"dog_1": {"J-Mean": -0.25}, "dog_2": {"J-Mean": 0.5}})
    page = report_page(scores)
    assert "\u22120.250" in page
    assert "davis-2017-val" in page


def test_a_comparison_draws_all_results_together():
    comparison = compare({"old": report(), "new": report(scale=0.8), "third": report(scale=0.7)})
    page = comparison_page(comparison, [PICTURE])
    found = parsed(page)
    assert page.count('class="chart"') == 2 * 2  # objects, measures
    assert found.tags.count("path") == 2 * 2 * 3
    assert page.count('class="interval"') == 2
    assert "Frames apart" in page
    assert "<b>1.000</b>" not in page
    assert "old / new / third" in page
    assert {link[1:] for link in found.links} <= set(found.ids)
