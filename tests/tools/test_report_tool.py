"""``tools/report.py``: what it says, on which runs, and how it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from mpitrain.analyse.report import TOOL
from mpitrain.analyse.tool import main
from tests.tools.real_runs import real_run

SCRIPT = Path(__file__).parents[2] / "tools" / "report.py"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four ranks, rank 3 late in every step."""
    return real_run(tmp_path_factory.mktemp("runs") / "ssp", "ssp")


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def log_of(run: Path, rank: int) -> Path:
    """Return the log of one rank."""
    return run / "log" / "life-000" / f"rank-{rank:05d}.h5"


def written(run: Path, exit_code: int = 0) -> str:
    """Return the page about a run."""
    page = run.parent / "page.html"
    assert main(TOOL, [str(run), "--out", str(page)]) == exit_code
    return page.read_text(encoding="utf-8")


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line with which the tool refuses."""
    assert main(TOOL, [*words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def test_json_names_the_rank_that_was_waited_for(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The facts are complete: totals, waiting between ranks, staleness, evaluations, verdict."""
    page = tmp_path / "page.html"
    assert main(TOOL, [str(whole), "--out", str(page), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    (said,) = facts["runs"]
    assert facts["size_bytes"] == page.stat().st_size < 1 << 19
    assert (said["mode"], said["bound"], said["ranks"]) == ("ssp", 3, 4)
    assert said["steps"] == said["result"]["steps"] == sum(said["per_rank"]["steps"])
    assert said["staleness_mean"] == pytest.approx(said["result"]["staleness_mean"], rel=1e-5)
    assert sum(said["staleness_counts"]) == said["steps"]
    for_whom = [sum(row[rank] for row in said["waited_s"]) for rank in range(4)]
    assert for_whom[3] > 10 * max(for_whom[:3])
    assert said["shares"]["wait"] == pytest.approx(said["result"]["wait_share"], abs=0.02)
    assert len(said["evaluations"]) >= 4
    assert said["verify"]["ok"]


def test_a_page_asks_nothing_of_the_network(run: Path) -> None:
    """No script, no address beyond those of XML's names."""
    page = written(run)
    assert "<script" not in page
    assert "@import" not in page
    addresses = page.count("http://") + page.count("https://")
    assert addresses == page.count('xmlns="http://www.w3.org/2000/svg"')
    assert "#0001" not in page  # every colour is one of the page's


def test_text_from_a_run_is_no_markup(run: Path) -> None:
    """A name with angle brackets is shown as it is."""
    config = run / "run.toml"
    text = config.read_text().replace('name = "digits-ssp"', 'name = "<b>bold</b> & co"')
    config.write_text(text)
    page = written(run)
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; co" in page


def test_a_missing_log_is_named_and_the_others_are_shown(run: Path) -> None:
    """Three ranks are left."""
    log_of(run, 2).unlink()
    page = written(run, 2)
    assert "rank-00002.h5: there is no such file" in page
    assert page.count('<th scope="row">3</th>') == 1
    assert page.count('<th scope="row">2</th>') == 0


def test_a_truncated_log_is_named_and_the_others_are_shown(run: Path) -> None:
    """As a missing one."""
    path = log_of(run, 1)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert "rank-00001.h5" in written(run, 2)


def test_a_run_without_its_run_file_and_result_is_shown(run: Path) -> None:
    """What they would have said is left out; the log is enough."""
    for name in ("run.toml", "result.json", "status.json"):
        (run / name).unlink()
    page = written(run)
    assert "run.toml: is not there or cannot be read" in page
    assert "Configuration" not in page


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing there; an empty folder."""
    out = str(tmp_path / "page.html")
    assert "there is no such folder" in refused(capsys, str(tmp_path / "absent"), "--out", out)
    (tmp_path / "empty").mkdir()
    assert "no staleness log" in refused(capsys, str(tmp_path / "empty"), "--out", out)
    assert not Path(out).exists()


def test_a_log_of_a_later_schema_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is in the line."""
    for rank in range(4):
        with h5py.File(log_of(run, rank), "r+") as file:
            file.attrs["schema"] = 99
    assert "schema is 99" in refused(capsys, str(run), "--out", str(run.parent / "page.html"))


def test_a_report_onto_a_full_disk_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor where the folder is missing; nothing is left behind."""
    out = run.parent / "absent" / "page.html"
    assert "no such file or directory" in refused(capsys, str(run), "--out", str(out))
    assert "no space left on device" in refused(capsys, str(run), "--out", "/dev/full")
    assert not Path("/dev/full").is_file()
    assert "is a directory" in refused(capsys, str(run), "--out", str(run))


def test_the_script_needs_no_mpi(run: Path, tmp_path: Path) -> None:
    """It runs where mpi4py cannot be imported, and from a checkout that is not installed."""
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no MPI here')\n")
    words = [str(run), "--out", str(tmp_path / "page.html")]
    code = f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = {words!r}"
    code += f"; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "open it in a browser" in done.stdout
