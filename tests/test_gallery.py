"""The gallery of the README shows what the tools print: its commands, run again, say the same."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from mpitrain.analyse.registry import TOOLS, tool_of
from mpitrain.analyse.tail import view
from mpitrain.analyse.tool import main
from mpitrain.analysis.live import look
from tests.ranks.launcher import run_launch

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CALL = ".venv/bin/python -m mpitrain analyse "
TRAIN = re.compile(
    r"^\.venv/bin/python -m mpitrain launch -n 4 (train .*runs/late-.*)$", re.MULTILINE
)

DETAILS = re.findall(r"^<details>.*?^</details>$", README, re.MULTILINE | re.DOTALL)
WORDS = re.compile(r"[A-Za-z_%]+[:;,]?")
UNITS = re.compile(r"\d+(?:\.\d+)? (?:[KM]iB|ms|s|us)\b")


def commands_of(text: str) -> list[list[str]]:
    """Return the words after ``analyse`` of each command of a part of the gallery."""
    lines = [line for line in text.splitlines() if line.startswith(CALL)]
    return [shlex.split(line.removeprefix(CALL).partition("  #")[0]) for line in lines]


def shown_in(part: str) -> list[str]:
    """Return the lines of output that a part of the gallery shows."""
    return re.findall(r"^```text\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)[0].splitlines()


def words_of(text: str) -> str:
    """Return the words of an output between single blanks, without its figures."""
    return f" {' '.join(WORDS.findall(UNITS.sub('', text)))} "


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the runs that the gallery is about, by the README's own commands."""
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "runs").mkdir()
    for words in TRAIN.findall(README):
        done = run_launch(
            folder, *shlex.split(words.replace("=runs/", f"={folder}/runs/")), ranks=4
        )
        assert done.returncode == 0, done.stderr
    return folder / "runs"


def test_every_tool_is_in_the_gallery() -> None:
    """None is left out but ``scaling``: it needs runs on several numbers of ranks."""
    shown = {words[0] for part in DETAILS for words in commands_of(part)}
    assert shown == set(TOOLS) - {"scaling"}
    assert "analyse scaling" in README


@pytest.mark.parametrize("part", DETAILS[:-1], ids=range(len(DETAILS) - 1))
def test_the_words_shown_are_those_printed(
    part: str,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every heading and sentence of a shown output is, but for the figures, in the real one."""
    monkeypatch.chdir(runs.parent)
    for name, *words in commands_of(part):
        assert main(tool_of(name), words) == 0
    printed = words_of(capsys.readouterr().out)
    lines = [words_of(line) for line in shown_in(part)]
    assert any(line.strip() for line in lines)
    assert not [line for line in lines if line.strip() and line not in printed]


def test_the_live_view_has_the_columns_shown(runs: Path) -> None:
    """What ``tail`` shows on a terminal has the heading of the gallery's table."""
    (part,) = (part for part in DETAILS if commands_of(part)[0][0] == "tail")
    assert part == DETAILS[-1]
    out = Console(width=120, file=io.StringIO(), record=True)
    out.print(view(runs / "late-ssp", look(runs / "late-ssp", None, None), 9))
    columns = [line.split() for line in out.export_text().splitlines() if "rank " in line]
    assert columns == [line.split() for line in shown_in(part) if "rank " in line]
