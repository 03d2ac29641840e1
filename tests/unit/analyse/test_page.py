"""Parts of the page: labels, numbers in words, bars, groups of ranks, figures as SVG."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np

from mpitrain.analyse.page.axes import group_names, grouped, panel, short_number, time_unit
from mpitrain.analyse.page.content import labels_of, shortened
from mpitrain.analyse.page.events import detail_text, rare
from mpitrain.analyse.page.ranks import MAX_BARS, binned
from mpitrain.analyse.page.style import RC, SERIES
from mpitrain.analyse.page.svg import inline_svg


def test_labels_are_the_shortest_ends_that_differ() -> None:
    """Of the same folder twice, the place in the command tells which is which."""
    assert labels_of([Path("/a/bsp"), Path("/b/ssp")]) == ["bsp", "ssp"]
    assert labels_of([Path("/x/a/run"), Path("/x/b/run")]) == ["a/run", "b/run"]
    assert labels_of([Path("/x/run"), Path("/x/run")]) == ["1: run", "2: run"]
    assert shortened("digits-ssp") == "digits-ssp"
    assert shortened("late-fashion-ssp-bound-3") == "…fashion-ssp-bound-3"


def test_numbers_on_axes_are_short() -> None:
    """Thousands and millions have their letters, times the unit of their size."""
    assert [short_number(n) for n in (0.5, 20, 2500, 20_000, 1.5e6)] == [
        "0.5", "20", "2.5k", "20k", "1.5M",
    ]  # fmt: skip
    assert [time_unit(s)[1] for s in (100.0, 1000.0, 100_000.0)] == ["s", "min", "h"]


def test_of_many_events_the_first_and_the_last_are_told() -> None:
    """Evaluations and digests are not told one by one."""
    many = [{"kind": "checkpoint", "time_s": float(k)} for k in range(500)]
    shown = rare([{"kind": "digest", "time_s": 0.5}, *many])
    assert len(shown) == 200
    assert (shown[0]["time_s"], shown[-1]["time_s"]) == (0.0, 499.0)


def test_details_of_events_are_for_people() -> None:
    """Times and sizes have units, names are words, checksums are short, nothing is raw JSON."""
    kept = {"steps": 1350, "name": "step-000001350", "write_s": 0.0596218, "stop_s": 0.000118046}
    assert detail_text(kept) == "steps 1,350, name step-000001350, write 60 ms, stop 0.12 ms"
    late = {"kind": "exponential", "delay": 0.01, "unit": "seconds"}
    assert detail_text(late) == "kind exponential, delay 10 ms"
    more = {
        "from_step": 7, "size_bytes": 4096, "is_same": True, "why": None, "wait_s": [0.25, 2e-5],
        "parameters_sha256": "ab" * 32, "of": {"loss": 0.0622358, "max_s": 75.0}, "idle_s": 0.0,
    }  # fmt: skip
    assert detail_text(more) == (
        "from step 7, size 4.0 KiB, is same yes, why -, wait 250 ms, 20 us, "
        "parameters sha256 abababababababab…, of (loss 0.06224, max 75.0 s), idle 0 s"
    )


def test_bars_hold_every_update_up_to_a_thin_tail() -> None:
    """They are equal in width, few, and the tail beyond is below one in two hundred."""
    table = np.random.default_rng(0).integers(0, 50, (3, 1000))
    table[:, 700:] = 0
    starts, bars = binned(table)
    assert len(starts) <= MAX_BARS
    assert bars.shape == (3, len(starts))
    assert 0.995 * table.sum() <= bars.sum() <= table.sum()
    width = starts[1]
    assert (bars[:, 2] == table[:, 2 * width : 3 * width].sum(axis=1)).all()


def test_many_ranks_become_groups_of_equal_size() -> None:
    """Their sums are kept, and a group is named by its first and last rank."""
    table = np.arange(200.0)[:, None] * np.ones(3)
    few, width = grouped(table, np.sum)
    assert (few.shape, width) == ((50, 3), 4)
    assert few.sum() == table.sum()
    assert group_names(range(200), width)[:2] == ["0-3", "4-7"]
    assert grouped(table[:64], np.sum)[1] == 1
    assert group_names(range(3), 1) == ["0", "1", "2"]


def test_a_figure_has_text_as_text_and_colours_of_the_page() -> None:
    """No colour of its own, no size, no reference that another figure could take."""
    with mpl.rc_context(RC):
        figure, axes = panel()
        axes.plot([0, 1], [0, 1], color=SERIES[0], label="a < b")
        axes.set_xlabel("time (s)")
        text = inline_svg(figure, "name")
    assert text.startswith("<svg")
    assert "time (s)</text>" in text
    assert "var(--series-0)" in text
    assert "var(--ink)" in text
    assert not re.search(r"#0000\d\d|#0001\d\d", text)
    head = text[: text.index(">")]
    assert "viewBox" in head
    assert "width=" not in head
    names = set(re.findall(r'\bid="([^"]+)"', text))
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    assert all(name.startswith("name-") for name in names)
    assert used <= names
    assert used
