from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from benchmarks.report.filmstrip import Still
from benchmarks.report.html import page

VOID = {"meta", "img", "br", "path", "line", "use", "rect", "image"}


class Outline(HTMLParser):
    """What a page consists of; every element must be closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def picture() -> Still:
    _, jpeg = cv2.imencode(".jpg", np.full((30, 40, 3), 90, np.uint8))
    return Still(7, "worst", 0.125, jpeg.tobytes(), (40, 30))


def test_a_page_shows_all_that_there_is_and_loads_nothing(make):
    report = make(fps={"ours": 50.0}).report
    report = replace(report, title="12 of 51 sequences of OTB-2013", remarks=["a note"], failures=["it broke"])
    plots = {name: f"<svg data-plot='{name}'></svg>" for name in ("success", "precision", "speed", "sequences")}
    text = page(report, plots, {"Ball": [picture()]})
    outline = Outline(text)
    words = " ".join(outline.text)
    assert [name["id"] for name in outline.all("section")] == (
        ["ranking", "comparisons", "plots", "attributes", "speed", "sequences", "filmstrips", "remarks", "failures"]
    )
    links = [link["href"] for link in outline.all("a")]
    assert links == [f"#{name['id']}" for name in outline.all("section")]
    assert outline.text[outline.text.index("12 of 51 sequences of OTB-2013, OPE")]
    assert "3 trackers, 2 sequences, 50 frames" in words
    assert report.comparisons[0].sentence in words
    assert "worst: frame 7, overlap 0.12" in words
    for attributes in (attributes for _, attributes in outline.tags):
        assert not any(str(attributes.get(name)).startswith(("http", "//", "/")) for name in ("src", "href"))
    assert "url(" not in text
    assert "@import" not in text
    image = outline.all("img")[0]["src"]
    assert image.startswith("data:image/jpeg;base64,")
    data = np.frombuffer(base64.b64decode(image.partition(",")[2]), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (30, 40, 3)
    assert "default-src 'none'" in outline.all("meta")[1]["content"]


def test_what_is_not_there_has_no_section(make):
    report = make({"alone": 0.0}).report
    names = [each["id"] for each in Outline(page(replace(report, attributes=[]), {}, {})).all("section")]
    assert names == ["ranking", "sequences"]


def test_text_of_others_is_never_markup(make, sequence):
    evil = "<script>alert(1)</script>&amp;\"'"
    report = make({evil: 0.0, "ours": 4.0}, sequences=[sequence(f"Ball{evil}", attributes=evil)]).report
    report = replace(report, title=evil, machine={evil: evil}, remarks=[evil], failures=[evil], protocol="<OPE>")
    outline = Outline(page(report, {}, {evil: [picture()]}, [evil]))
    assert len(outline.all("script")) == 1
    assert len(outline.all("b")) == 1  # the one that explains the marks
    assert "".join(outline.text).count(evil) > 10
    assert outline.all("img")[0]["alt"] == f"{evil}, frame 7"


def test_numbers_sort_by_their_value_and_unknown_ones_have_none(make):
    report = make(fps={"ours": 50.0}, skip={"bad": "Cup"}).report
    text = page(report, {}, {})
    rows = re.findall(r"<tr( class=main)?>(.*?)</tr>", text.split('id="comparisons"')[0], re.DOTALL)
    rows = [(main, row) for main, row in rows if 'scope="row"' in row]
    assert [bool(main) for main, _ in rows] == [False, True, False]
    values = [float(value) for value in re.findall(r'data-v="([\d.]+)"', rows[1][1])]
    ours = report.main
    assert values[0] == pytest.approx(ours.headlines["auc"].value, abs=1e-5)
    assert values[-4:] == [50, 10, 20, 30]
    assert rows[2][1].count("<td>–</td>") == 4  # no speed
    assert "bad (1 of 2)" in rows[2][1]
    headline = ours.headlines["auc"]
    assert f"<small>{headline.low:.3f} – {headline.high:.3f}</small>" in rows[1][1]


def test_the_page_follows_the_readers_colours_and_screen():
    from benchmarks.report.page import STYLE

    assert "prefers-color-scheme: dark" in STYLE
    names = set(re.findall(r"var\((--[a-z]+)\)", STYLE)) - {"--v"}
    for scheme in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL):
        assert names <= set(re.findall(r"(--[a-z]+):", scheme))
