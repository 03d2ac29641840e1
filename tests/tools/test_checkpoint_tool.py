"""``checkpoint``: what is there, whether it is whole, what changed, and out of HDF5."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mpitrain
from mpitrain.analyse.checkpoint import TOOL
from mpitrain.analyse.tool import main


@pytest.fixture
def run(ssp_run: Path, tmp_path: Path) -> Path:
    """Return a copy of a real run that a test may damage."""
    copy = tmp_path / "run"
    shutil.copytree(ssp_run, copy)
    return copy


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Return exit code and facts."""
    code = main(TOOL, [*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def folders(run: Path) -> list[Path]:
    """Return the folders of the checkpoints, oldest first."""
    found = sorted((run / "checkpoints").iterdir())
    assert len(found) >= 3
    return found


def test_list_has_every_checkpoint(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Oldest first, with steps and size; one without a mark is no checkpoint yet."""
    unfinished = run / "checkpoints" / "step-000099999"
    unfinished.mkdir()
    complete = [path for path in folders(run) if path != unfinished]
    code, facts = said(["list", str(run)], capsys)
    assert code == 0
    found = facts["checkpoints"]
    assert [one["path"] for one in found] == [*map(str, complete), str(unfinished)]
    assert [one["state"] for one in found] == ["complete"] * len(complete) + ["unfinished"]
    assert found[0]["steps"] == 0
    sizes = [sum(f.stat().st_size for f in path.glob("*.h5")) for path in complete]
    assert [one["size_bytes"] for one in found[:-1]] == sizes
    main(TOOL, ["list", str(run)])
    text = capsys.readouterr().out
    assert all(path.name in text for path in [*complete, unfinished])


def test_verify_tells_the_damaged_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One byte in one of its files; the others are whole. Exit code 1."""
    assert said(["verify", str(run)], capsys)[0] == 0
    path = folders(run)[1] / "rank-00002.h5"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code, facts = said(["verify", str(run)], capsys)
    assert (code, facts["ok"]) == (1, False)
    damaged = [one for one in facts["checkpoints"] if one["state"] == "damaged"]
    assert [one["path"] for one in damaged] == [str(path.parent)]
    assert "rank-00002.h5" in damaged[0]["fault"]
    assert main(TOOL, ["verify", str(folders(run)[0])]) == 0
    capsys.readouterr()
    assert main(TOOL, ["verify", str(run)]) == 1
    assert "1 damaged" in capsys.readouterr().out


def test_show_says_what_numpy_says(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Norm and range of each parameter of the newest."""
    code, facts = said(["show", str(run)], capsys)
    loaded = mpitrain.load_checkpoint(run)
    assert code == 0
    assert facts["versions"] == loaded.versions.tolist()
    for one, (name, array) in zip(facts["parameters"], loaded.parameters.items(), strict=True):
        assert (one["name"], tuple(one["shape"])) == (name, array.shape)
        wanted = [np.linalg.norm(array.astype(float)), array.min(), array.max()]
        np.testing.assert_allclose([one["norm"], one["least"], one["largest"]], wanted)
    main(TOOL, ["show", str(run)])
    assert "w1" in capsys.readouterr().out


def test_diff_is_the_difference(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run from its oldest to its newest; of one with itself nothing."""
    first, *_, last = folders(run)
    code, facts = said(["diff", str(run)], capsys)
    assert (code, facts["equal"]) == (0, False)
    assert (facts["before"]["path"], facts["after"]["path"]) == (str(first), str(last))
    before, after = (mpitrain.load_checkpoint(path).parameters for path in (first, last))
    for one in facts["parameters"]:
        old, new = (side[one["name"]].astype(float).ravel() for side in (before, after))
        change = new - old
        np.testing.assert_allclose(one["change_norm"], np.linalg.norm(change))
        np.testing.assert_allclose(one["largest_change"], np.abs(change).max())
        if old.any():
            angle = old @ new / np.linalg.norm(old) / np.linalg.norm(new)
            np.testing.assert_allclose(one["cosine"], angle)
    code, facts = said(["diff", str(last), str(run)], capsys)
    assert (code, facts["equal"]) == (0, True)
    main(TOOL, ["diff", str(run)])
    assert "largest change" in capsys.readouterr().out


def test_export_is_what_numpy_loads(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every parameter by name, in its shape; the same file each time."""
    out = run.parent / "parameters.npz"
    assert main(TOOL, ["export", str(run), "--out", str(out)]) == 0
    assert "4 parameters" in capsys.readouterr().out
    loaded = mpitrain.load_checkpoint(run).parameters
    with np.load(out, allow_pickle=False) as found:
        assert sorted(found) == sorted(loaded)
        for name, array in loaded.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    before = out.read_bytes()
    assert main(TOOL, ["export", str(run), "--out", str(out)]) == 0
    assert out.read_bytes() == before


def test_words_of_a_stranger_are_shown_as_they_are(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the facts of a mark, which anyone may have written."""
    mark = folders(run)[1] / "complete.json"
    said = json.loads(mark.read_text())
    said["facts"] |= {"metric_name": "[/]accuracy[bold]", "metric": 0.5, "time": "[/red]"}
    mark.write_text(json.dumps(said))
    assert main(TOOL, ["list", str(run)]) == 0
    text = capsys.readouterr().out
    assert "[/]accuracy[bold] 0.5000" in text
    assert "[/red]" in text


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["show", "RUN/none"], "there is no complete checkpoint in"),
        (["list", "RUN/none"], "is no run directory: there is no"),
        (["diff", "RUN", "RUN", "RUN"], "diff takes 1 or 2 places, got 3"),
        (["export", "RUN"], "export needs --out FILE.npz, and only export takes it"),
        (["list", "RUN", "--out", "x.npz"], "export needs --out FILE.npz, and only export"),
        (["export", "RUN", "--out", "x.npy"], "--out must end in .npz, got x.npy"),
        (["export", "RUN", "--out", "FULL"], "no space left on device"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], wanted: str, ssp_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And exit code 2."""
    full = tmp_path / "full.npz"
    full.symlink_to("/dev/full")
    places = [word.replace("RUN", str(ssp_run)).replace("FULL", str(full)) for word in words]
    assert main(TOOL, places) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("mpitrain: error: ")
    assert wanted in said.err
    assert len(said.err.splitlines()) == 1
