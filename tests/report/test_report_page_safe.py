"""report.html loads nothing, runs nothing that comes from outside, stays within 3 MB, and can be reached."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
import read_page
import report_runs
from report_runs import noise, pixels

from layerline.export.web import templates
from layerline.report import confusion_table, page

if TYPE_CHECKING:
    from pathlib import Path

    from read_page import Element

HOSTILE = (
    '<img src=x onerror="alert(1)">',
    "\x1b[31mred\x1b[0m",
    "</script><script>alert(1)</script>",
    "\u202egnp.exe\u0000",
    "a" * 1_000_000,
    "'\"><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "\udcff surrogate",
)
LOADS = ("src", "srcset", "data", "poster", "background", "action", "formaction", "ping", "manifest", "xlink:href")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return report_runs.make(
        tmp_path / "small-1", test=report_runs.predicted(3, 90), validation=report_runs.predicted(3, 30, seed=1)
    )


def hostile(path: Path) -> Path:
    """Return a run in which everything that a user can name is hostile."""
    classes = [name.encode("utf-8", "replace").decode() for name in HOSTILE]
    test = report_runs.predicted(len(classes), 160)
    test["names"] = np.asarray([f"{classes[k % 4]}/{k}.png" for k in range(160)])
    about = {
        "network": {"name": HOSTILE[0]},
        "assumed": {HOSTILE[0]: HOSTILE[2], "epochs": HOSTILE[1]},
        "versions": {"numpy": HOSTILE[2]},
        "engine": {HOSTILE[0]: HOSTILE[5]},
        "data": {
            "name": HOSTILE[2], "image": [1, 8, 8], "notes": [HOSTILE[0], HOSTILE[5]], "fingerprint": HOSTILE[5],
            "classes": classes, "images": {"train": 1},
        },
    }  # fmt: skip
    return report_runs.make(
        path, classes, test=test, about=about, network=f"# {HOSTILE[0]}\x1b[1m\n{report_runs.NETWORK}"
    )


def checked(html: bytes) -> Element:
    """Return the page as a tree after looking at everything that could load or run something."""
    tree = read_page.parse(html)
    assert len(html) <= page.LARGEST
    assert not {element.tag for element in tree.all()} & {"link", "iframe", "object", "embed", "base", "form", "video"}
    for element in tree.all():
        assert not [name for name in element.attributes if name.startswith("on")], element.attributes
        for name in LOADS:
            assert element.attributes.get(name, "data:").startswith("data:image/"[: len("data:")])
        if "href" in element.attributes:
            assert re.fullmatch(r"#[a-z0-9-]+", element.attributes["href"])
    (style,) = (style.text for style in tree.all("style"))
    styles = style + "".join(element.attributes.get("style", "") for element in tree.all())
    assert "url(" not in styles
    assert "@import" not in styles
    assert len(list(tree.all("script"))) == 1
    return tree


def test_nothing_is_loaded(run: Path) -> None:
    """No URL but data: and places inside the page; a policy that forbids all others; only our script, by its hash."""
    tree = checked(page.write(run, pixels=pixels).read_bytes())
    assert b"http://" not in (run / "report.html").read_bytes()
    assert b"https://" not in (run / "report.html").read_bytes()
    policy = tree.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"].split("; ")
    script = "".join(str(part) for part in tree.one("script").children)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert not any(tag.attributes.get("id") == "policy" for tag in tree.all("meta"))


@pytest.mark.parametrize("images", [True, False], ids=["images", "no images"])
def test_what_comes_from_outside_is_text(tmp_path: Path, images: bool) -> None:
    """Markup, scripts, template words, escapes, NUL, text direction and lone surrogates are shown, and do nothing."""
    folder = hostile(tmp_path / "<b>run")
    html = page.write(folder, pixels=pixels if images else None, why=HOSTILE[0]).read_bytes()
    tree = checked(html)
    assert b"\x1b" not in html
    assert b"\x00" not in html
    assert "\u202e" not in html.decode()
    assert "alert(1)" not in tree.one("script").text
    assert [img for img in tree.all("img") if img.attributes["src"] == "x"] == []
    text = tree.text
    for shown in ('<img src=x onerror="alert(1)">', "\\x1b[31mred", "{{ 7 * 7 }}", "\\u202egnp.exe", "<b>run"):
        assert shown in text
    assert "a" * 61 not in html.decode()
    assert "49" not in read_page.section(tree, "classes").text.split("{{")[0]


def test_large_images_fill_the_room_and_no_more(tmp_path: Path) -> None:
    """10,000 images that no format makes small: over 2 MB are used, 3 MB never passed, all 24 worst are there.

    Of the cells, all show an image before any shows a second, and mistakes come before what is right.
    """
    folder = report_runs.make(
        tmp_path / "run", tuple("abcdefghij"), test=report_runs.predicted(10, 10_000), shape=(3, 9, 9)
    )
    html = page.write(folder, pixels=noise(200)).read_bytes()
    assert 2_000_000 < len(html) <= 3_000_000
    tree = checked(html)
    assert len(list(read_page.section(tree, "mistakes").all("img"))) == 24
    shown = {"right": [], "wrong": []}
    for panel in (div for div in tree.all("div") if div.attributes.get("class") == "panel"):
        j, k = panel.attributes["id"].removeprefix("cell-").split("-")
        shown["right" if j == k else "wrong"].append(len(list(panel.all("img"))))
    assert max(shown["wrong"]) - min(shown["wrong"]) <= 1 or max(shown["wrong"]) == 50
    assert sum(shown["right"]) == 0 or min(shown["wrong"]) > 1
    sizes = {int(img.attributes["width"]) for img in read_page.section(tree, "mistakes").all("img")}
    assert sizes <= {200, 192, 160, 128, 96, 64}


def test_a_thousand_classes_and_ten_thousand_epochs_fit(tmp_path: Path) -> None:
    """With 1,000 classes of long names the matrix is a picture and a list of pairs; long histories are thinned."""
    classes = tuple(f"{k:04d}" + '"&<' * 40 for k in range(1000))
    folder = report_runs.make(
        tmp_path / "run", classes, test=report_runs.predicted(1000, 5000, wrong=0.6), epochs=10_000, shape=(3, 9, 9)
    )
    tree = checked(page.write(folder, pixels=noise(64)).read_bytes())
    section = read_page.section(tree, "confusion")
    assert len(list(section.one("tbody").all("tr"))) == 60
    assert len(list(read_page.section(tree, "classes").one("tbody").all("tr"))) == 500
    rows = list(read_page.section(tree, "curves").one("tbody").all("tr"))
    assert len(rows) <= 202
    assert "9999 ★ best" in [row.one("th").text.replace(",", "") for row in rows]


def test_the_page_is_the_same_for_the_same_run(run: Path) -> None:
    """No date, no chance, no order of a set: two reports of a run are equal byte for byte."""
    assert page.write(run, pixels=pixels).read_bytes() == page.write(run, pixels=pixels).read_bytes()


def test_headings_languages_and_names_are_in_order(run: Path) -> None:
    """One h1, no level left out, lang and title, alt on every image, a name on every drawing, ids that are unique."""
    tree = checked(page.write(run, pixels=pixels).read_bytes())
    assert tree.one("html").attributes["lang"] == "en"
    assert tree.one("head").one("title").text == "small on bands: training report"
    levels = [int(element.tag[1]) for element in tree.all("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(deeper - level <= 1 for level, deeper in itertools.pairwise(levels))
    assert all(img.attributes["alt"] for img in tree.all("img"))
    for svg in tree.all("svg"):
        named = svg.attributes.get("role") == "img" and svg.attributes.get("aria-label")
        assert named or svg.attributes.get("aria-hidden") == "true"
    ids = [element.attributes["id"] for element in tree.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert {a.attributes["href"] for a in tree.all("a")} <= {f"#{name}" for name in ids}


def test_everything_is_reached_by_the_tab_key(run: Path) -> None:
    """The skip link comes first; cells, summaries and all that scrolls is reached, in the order of the page."""
    tree = checked(page.write(run, pixels=pixels).read_bytes())
    stops = [
        element
        for element in tree.all()
        if ("href" in element.attributes or element.tag == "summary" or element.attributes.get("tabindex") == "0")
    ]
    assert stops[0].text == "Skip to the content"
    assert stops[0].attributes["href"] == "#main"
    assert all(int(element.attributes.get("tabindex", "0")) <= 0 for element in tree.all())
    for element in tree.all("div"):
        if "scroll" in element.attributes.get("class", "").split():
            assert element in stops
            assert element.attributes["role"] == "region"
            assert element.attributes["aria-label"]
    (style,) = (style.text for style in tree.all("style"))
    assert ":focus-visible { outline: 3px" in style
    for query in ("prefers-color-scheme: dark", "@media print", "max-width: 30rem"):
        assert query in style


def test_colors_of_text_can_be_read() -> None:
    """Text on its background has a contrast of at least 4.5 in light and dark (WCAG 2.2, 1.4.3)."""
    style = templates.text("look.css")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    for block in (light, dark):
        colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
        for ink in ("ink", "faint", "link"):
            for paper in ("paper", "card", "note") if ink == "ink" else ("paper", "card"):
                assert contrast(colors[ink], colors[paper]) >= 4.5, (ink, paper)
        cells = dict(re.findall(r"--(right|wrong): ([0-9 ]+);", block))
        for color in cells.values():
            for alpha in np.linspace(0, confusion_table.DARKEST, 21):
                paper = [int(colors["paper"][k : k + 2], 16) for k in (1, 3, 5)]
                mixed = [round(p + (int(c) - p) * alpha) for p, c in zip(paper, color.split(), strict=True)]
                assert contrast(colors["ink"], "#" + bytes(mixed).hex()) >= 4.5, (color, alpha)
        for line in ("training", "validation", "test"):
            assert contrast(colors[line], colors["card"]) >= 3.0, line


def contrast(one: str, other: str) -> float:
    def luminance(color: str) -> float:
        parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_names_give_way_where_they_alone_would_be_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even the names of the cells' images do not fit, the cells say how many they have, and no more."""
    test = report_runs.predicted(20, 2000)
    test["names"] = np.asarray(['"' * 55 + f"{k:05d}" for k in range(2000)])
    folder = report_runs.make(tmp_path / "run", tuple("abcdefghijklmnopqrst"), test=test)
    whole = page.write(folder, pixels=None).read_bytes()
    monkeypatch.setattr(page, "LARGEST", len(whole) - 1)
    html = page.write(folder, pixels=None).read_bytes()
    assert len(html) < len(whole)
    panels = [div for div in read_page.parse(html).all("div") if div.attributes.get("class") == "panel"]
    assert panels
    assert all("Its images are not in this file" in panel.text for panel in panels)
