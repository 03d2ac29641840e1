"""The report in a real browser: wide and narrow, light and dark, on screen and in print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpitrain.analyse.report import TOOL
from mpitrain.analyse.tool import main
from tests.browser import Browser, find_browser
from tests.tools.real_runs import real_run

pytestmark = pytest.mark.browser

OF_EVERY_RUN = {"loss", "metric", "speed", "shares", "wait-map"}
OF_LATE_RUNS = {"wait-matrix"}
OF_STALE_RUNS = {"staleness", "staleness-map", "lead"}
OF_SSP = OF_EVERY_RUN | OF_LATE_RUNS | OF_STALE_RUNS
OF_ALL = {"loss-time", "loss-steps", "metric-time", "metric-steps", "shares", "staleness"}

FIGURES = "[...document.querySelectorAll('figure')].map(figure => figure.id)"
EMPTY = """[...document.querySelectorAll('figure')].filter(figure => {
  const svg = figure.querySelector('svg'), box = svg && svg.getBoundingClientRect();
  const marks = svg && svg.querySelectorAll('path, image, use').length;
  return !svg || box.width < 200 || box.height < 80 || marks < 10 || !svg.querySelector('text');
}).map(figure => figure.id)"""
OUTSIDE = """[...document.querySelectorAll('figure svg')].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < frame.left - 2 || box.right > frame.right + 2
        || box.top < frame.top - 2 || box.bottom > frame.bottom + 2;
  }).map(text => svg.parentElement.id + ': ' + text.textContent);
})"""
SMALLEST = """Math.min(...[...document.querySelectorAll('figure svg text')].map(text => {
  const scale = text.ownerSVGElement.getBoundingClientRect().width /
                text.ownerSVGElement.viewBox.baseVal.width;
  return parseFloat(getComputedStyle(text).fontSize) * scale;
}))"""
OVER_THE_EDGE = """[...document.querySelectorAll('body *')].filter(
  one => !one.closest('.scroll table') && one.getBoundingClientRect().right > innerWidth + 1
).map(one => one.outerHTML.slice(0, 80))"""
STUCK = """[...document.querySelectorAll('.scroll')].filter(box => {
  box.scrollLeft = 1e5;
  const cells = [...box.querySelectorAll('td:last-child')];
  return cells.some(cell => cell.getBoundingClientRect().right > innerWidth + 1);
}).map(box => box.firstElementChild.className)"""
WIDE = "[...document.querySelectorAll('.scroll')].some(box => box.scrollWidth > box.clientWidth)"
COLOUR = "getComputedStyle(document.querySelector('figure svg text')).fill"
PAPER = "getComputedStyle(document.body).backgroundColor"
UNFOLDED = "document.querySelector('.config').checkVisibility()"
TWICE = """(() => { const ids = [...document.querySelectorAll('[id]')].map(one => one.id);
  return ids.filter((id, index) => ids.indexOf(id) !== index); })()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    path = find_browser()
    assert path is not None
    with Browser(path, tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three runs of four ranks with a straggler."""
    root = tmp_path_factory.mktemp("runs")
    return {mode: real_run(root / mode, mode) for mode in ("bsp", "ssp", "asp")}


@pytest.fixture(scope="module")
def one(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the ssp run."""
    page = tmp_path_factory.mktemp("page") / "ssp.html"
    assert main(TOOL, [str(runs["ssp"]), "--out", str(page)]) == 0
    return page


@pytest.fixture(scope="module")
def three(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that compares the three."""
    page = tmp_path_factory.mktemp("page") / "three.html"
    assert main(TOOL, [*map(str, runs.values()), "--out", str(page)]) == 0
    return page


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_run_is_shown_whole_at_any_width(
    browser: Browser, one: Path, width: int, scheme: str
) -> None:
    """No console error, no request, every figure drawn and readable, nothing over the edge."""
    browser.open(one, width, scheme=scheme)
    check_page(browser, one, width)
    assert set(browser.ask(FIGURES)) == {f"r0-{name}" for name in OF_SSP}


@pytest.mark.parametrize("width", [390, 1400])
def test_a_comparison_is_shown_whole_at_any_width(
    browser: Browser, three: Path, width: int
) -> None:
    """As one run; a synchronous run has no staleness, an asynchronous one waits for nobody."""
    browser.open(three, width)
    check_page(browser, three, width)
    assert set(browser.ask(FIGURES)) == (
        {f"c-{name}" for name in OF_ALL}
        | {f"r0-{name}" for name in OF_EVERY_RUN | OF_LATE_RUNS}
        | {f"r1-{name}" for name in OF_SSP}
        | {f"r2-{name}" for name in OF_EVERY_RUN | OF_STALE_RUNS}
    )
    rows = browser.ask("document.querySelectorAll('#comparison table.numbers tbody tr').length")
    assert rows == 3


def check_page(browser: Browser, page: Path, width: int) -> None:
    """Check what every page promises."""
    assert browser.troubles() == []
    assert browser.requests() == [page.absolute().as_uri()]
    assert browser.ask("innerWidth") == width
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask(OVER_THE_EDGE) == []
    assert browser.ask(WIDE) == (width < 600)  # such a table is scrolled in a box of its own
    assert browser.ask(STUCK) == []
    assert browser.ask(EMPTY) == []
    assert browser.ask(OUTSIDE) == []
    assert browser.ask(SMALLEST) >= 9.0
    assert browser.ask(TWICE) == []


def test_colours_follow_the_theme_of_the_reader(browser: Browser, one: Path) -> None:
    """Text in figures is dark on light paper and light on dark."""
    seen = []
    for scheme in ("light", "dark"):
        browser.open(one, 390, scheme=scheme)
        seen.append((lightness(browser.ask(PAPER)), lightness(browser.ask(COLOUR))))
    (light, dark_ink), (dark, light_ink) = seen
    assert light - dark_ink > 150
    assert light_ink - dark > 150


def lightness(colour: str) -> float:
    """Return the mean of the parts of "rgb(r, g, b)", 0 to 255."""
    parts = colour[colour.index("(") + 1 : -1].split(",")[:3]
    return sum(map(float, parts)) / 3


def test_print_is_dark_on_white_and_shows_the_configuration(browser: Browser, one: Path) -> None:
    """Also for a reader with a dark theme; what is folded on the screen is unfolded."""
    browser.open(one, 1000)
    assert not browser.ask(UNFOLDED)
    browser.open(one, 1000, media="print", scheme="dark")
    assert lightness(browser.ask(PAPER)) == 255
    assert lightness(browser.ask(COLOUR)) < 40
    assert browser.ask(UNFOLDED)
    assert browser.ask("document.documentElement.scrollWidth") <= 1000
