"""The command line, through real launchers: results, mistakes, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpitrain import open_log
from mpitrain.command_line import main
from tests.ranks.launcher import ROOT, python_of, run, run_launch, run_ranks

SMALL = ("run.steps=40", "data.batch_size=8", "model.kind=softmax")
RESULT_KEYS = {
    *("schema", "run", "mode", "bound", "ranks", "life", "seed", "steps", "samples", "seconds"),
    *("loss", "metric_name", "metric", "accuracy", "staleness_mean", "staleness_max", "lead_max"),
    *("wait_share", "parameters_sha256", "directory", "best_metric", "best_steps", "ended_early"),
}
SCRIPT = """
import sys
import numpy as np
import mpitrain
from mpitrain.data.source import ArraySource
from mpitrain.models.softmax import Softmax

random = np.random.default_rng(0)
x = random.random((100, 5), np.float32)
y = (x[:, 0] > 0.5).astype(np.int64)
data = ArraySource(x, y, x[:20], y[:20])
settings = {"mode.kind": "ssp", "run.steps": 60, "run.directory": sys.argv[1]}
result = mpitrain.train(Softmax(5, 2, "float32"), data, **settings)
print(result.ranks, result.steps, sorted(result.parameters), result.parameters["w"].shape)
"""


@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
@pytest.mark.parametrize("kind", ["bsp", "ssp", "asp"])
def test_train_ends_with_its_result_as_one_json_line(tmp_path: Path, kind: str, mpi: str) -> None:
    """The last line of standard output is result.json; the status is done; the log is whole."""
    run_directory = tmp_path / "a run"
    ended = run_launch(
        tmp_path,
        "train",
        *SMALL,
        f"mode.kind={kind}",
        f"run.directory={run_directory}",
        ranks=2,
        mpi=mpi,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("\n") == 1, ended.stdout
    result = json.loads(ended.stdout)
    assert set(result) == RESULT_KEYS
    assert result == json.loads((run_directory / "result.json").read_text())
    assert json.loads((run_directory / "status.json").read_text())["status"] == "done"
    assert (result["steps"], result["ranks"], result["mode"]) == (40, 2, kind)
    log = open_log(run_directory)
    assert sum(rank.num_rows for rank in log.lives[0].ranks.values()) == 40


@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
def test_train_works_under_plain_mpiexec(tmp_path: Path, mpi: str) -> None:
    """Plain ``mpirun -n 2 python -m mpitrain train`` needs no launcher of ours."""
    words = ["-m", "mpitrain", "train", *SMALL, "mode.kind=ssp", f"run.directory={tmp_path}/r"]
    ended = run_ranks(mpi, 2, words, timeout=60, environ={})
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["ranks"] == 2


def test_train_without_launcher_is_one_rank(tmp_path: Path) -> None:
    """A plain interpreter trains alone."""
    command = [sys.executable, "-m", "mpitrain", "train", *SMALL, f"run.directory={tmp_path}/r"]
    ended = run(command, cwd=ROOT, timeout=60, environ=dict(os.environ))
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["ranks"] == 1


ORDERS = {
    "config": ("{file}", "mode.bound=4"),
    "config, file last": ("mode.bound=4", "{file}"),
    "help last": ("{file}", "mode.bound=4", "--help"),
    "help between": ("{file}", "--help", "mode.bound=4"),
}


@pytest.mark.parametrize("case", ORDERS)
def test_words_and_options_come_in_any_order(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run file need not be the first word, nor an option stand before all words."""
    file = tmp_path / "r.toml"
    file.write_text("run.seed = 77\nmode.kind = 'ssp'\n")
    words = [word.format(file=file) for word in ORDERS[case]]
    if "--help" in words:
        with pytest.raises(SystemExit, match="0"):
            main(["config", *words])
        assert "usage: mpitrain config" in capsys.readouterr().out
    else:
        assert main(["config", *words]) == 0
        printed = capsys.readouterr().out
        assert "seed = 77\n" in printed
        assert "bound = 4\n" in printed


def test_resume_takes_its_option_anywhere(tmp_path: Path) -> None:
    """Before, between and behind the run directory and the overrides."""
    command = [sys.executable, "-m", "mpitrain"]
    directory, environ = f"{tmp_path}/r", dict(os.environ)
    words = ["train", *SMALL, f"run.directory={directory}"]
    assert run([*command, *words], cwd=ROOT, timeout=60, environ=environ).returncode == 0
    for place in range(4):
        words = [directory, "run.steps=50", "run.progress_every_s=9"]
        words.insert(place, "--checkpoint=no-such")
        ended = run([*command, "resume", *words], cwd=ROOT, timeout=60, environ=environ)
        assert ended.returncode == 2
        assert "no 'no-such' is there" in ended.stderr


MISTAKES = {
    "mode.kind=sspp": "unknown mode 'sspp'; choose from: asp, bsp, ssp",
    "mode.kid=ssp": "did you mean",
    "mode.bound=-1": "mode.bound must be an integer >= 0, got -1",
    "mode.shards=1000000": "mode.shards must be >= 1 and <= ",
    "data.source=idx": "data.path",
    "model.kind=nowhere:model": "model.kind = 'nowhere:model' cannot be imported",
    "device.kind=tpu": "unknown device 'tpu'; choose from: auto, cpu, cuda",
}


@pytest.mark.parametrize("through", ["launch", "openmpi", "mpich"])
@pytest.mark.parametrize("word", MISTAKES)
def test_mistake_gives_one_line_and_exit_code_2(tmp_path: Path, word: str, through: str) -> None:
    """Exactly one line over all ranks, no traceback, nothing written."""
    words = ("train", "mode.kind=ssp", word, f"run.directory={tmp_path}/r")
    if through == "launch":
        ended = run_launch(tmp_path, *words, ranks=2)
    else:
        ended = run_ranks(through, 2, ["-m", "mpitrain", *words], timeout=60, environ={})
    lines = [li for li in (ended.stdout + ended.stderr).splitlines() if "mpitrain: error:" in li]
    assert len(lines) == 1, ended.stderr
    expected = MISTAKES[word]
    assert expected in lines[0] or expected == "did you mean", lines[0]
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "r").exists()


def test_directory_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    """The second run with the same directory is refused, the first stays as it is."""
    words = ("train", *SMALL, f"run.directory={tmp_path}/r")
    assert run_launch(tmp_path, *words, ranks=2).returncode == 0
    before = (tmp_path / "r" / "result.json").read_bytes()
    ended = run_launch(tmp_path, *words, ranks=2)
    assert ended.returncode == 2
    assert "already holds a run; go on with it by resume" in ended.stderr
    assert (tmp_path / "r" / "result.json").read_bytes() == before


@pytest.mark.parametrize("ranks", [None, 3])
def test_script_trains_its_own_model_and_data(tmp_path: Path, ranks: int | None) -> None:
    """mpitrain.train in a script, plainly and under launch."""
    script = tmp_path / "my script.py"
    script.write_text(SCRIPT)
    if ranks is None:
        command = [sys.executable, str(script), str(tmp_path / "r")]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = run(command, cwd=tmp_path, timeout=60, environ=environ)
    else:
        ended = run_launch(tmp_path, str(script), str(tmp_path / "r"), ranks=ranks)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == f"{ranks or 1} 60 ['b', 'w'] (5, 2)"


def test_launch_shows_what_it_would_do() -> None:
    """--dry-run prints the line, with the mpiexec of this Python, and starts nothing."""
    command = [str(python_of("openmpi")), "-m", "mpitrain", "launch", "-n", "3", "--dry-run"]
    ended = run([*command, "train"], cwd=ROOT, timeout=60, environ=dict(os.environ))
    assert ended.returncode == 0
    assert f"{Path(command[0]).parent / 'mpiexec'} -n 3 " in ended.stdout
    assert "OMPI_MCA_osc='^ucx'" in ended.stdout or "OMPI_MCA_osc" in os.environ
    assert ended.stdout.rstrip().endswith("-m mpitrain train")


@pytest.mark.parametrize("ranks", [1, 2])
def test_bench_window_measures_beside_its_floor(tmp_path: Path, ranks: int) -> None:
    """One JSON row per size, with times and the ratio."""
    ended = run_launch(tmp_path, "bench", "window", ranks=ranks, timeout=100)
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [row["size"] for row in rows] == ["16 KiB", "1 MiB", "16 MiB", "64 MiB"], ended.stderr
    assert all(row["read_us"] > 0 and row["copy_add_us"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["bench", "widow"],
            "unknown measurement 'widow'; choose from: checkpoint, kernels, log, replay, "
            "simulator, step, stop, tools, window",
        ),
        (["resume"], "resume needs a run directory: resume RUNDIR [key=value ...]"),
    ],
)
def test_mistake_in_the_words_of_a_command_is_one_line(
    tmp_path: Path, words: list[str], said: str
) -> None:
    """A user mistake like any other."""
    command = [sys.executable, "-m", "mpitrain", *words]
    ended = run(command, cwd=tmp_path, timeout=60, environ={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == 2
    assert ended.stderr == f"mpitrain: error: {said}\n"


@pytest.mark.parametrize(
    "word",
    [
        "run.seed=9999999999999999999999999",
        "model.hidden=[1000000000]",
        "data.num_samples=999999999999999",
        "run.name=../elsewhere",
        "straggler.kind=constant",
        f"run.directory={'x' * 300}",
    ],
)
def test_value_that_cannot_be_is_one_line_and_exit_code_2(tmp_path: Path, word: str) -> None:
    """Numbers beyond any machine, names that are no names, halves of a pair."""
    words = ["train", "data.source=synthetic", "run.steps=8", f"run.directory={tmp_path}/r", word]
    command = [sys.executable, "-m", "mpitrain", *words]
    ended = run(command, cwd=tmp_path, timeout=60, environ={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("mpitrain: error:") == 1
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "words",
    [
        *(["train"], ["resume", "r"], ["config"], ["repair", "r"], ["doctor"], ["bench", "window"]),
        *(["launch", "-n", "2", "train"], ["launch", "-n", "2", "doctor"]),
    ],
    ids=" ".join,
)
def test_deleted_working_directory_is_one_line_and_exit_code_2(
    tmp_path: Path, words: list[str]
) -> None:
    """A shell may stand in a folder that another one has removed."""
    folder = tmp_path / "gone"
    folder.mkdir()
    script = 'rmdir "$PWD" && exec "$@"'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "mpitrain", *words]
    ended = run(command, cwd=folder, timeout=60, environ={**os.environ, "PYTHONPATH": str(ROOT)})
    said = "mpitrain: error: the working directory was deleted; change to one that exists\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", said)


DEEP_MISTAKES = {
    "read on the data": ("train", "data.source=hdf5", "data.path={bad}", "1 holds nan"),
    "ranks and samples": (
        *("train", "data.source=synthetic", "data.num_samples=3"),
        "4 ranks are more than the 3 training samples",
    ),
    "a factory's product": ("train", "model.kind=json:dumps", "model.kind = 'json:dumps'"),
    "a source of the wrong kind": (
        *("train", "data.source=tests.failing_models:no_source"),
        "must be a source of samples, got dict without gather_into()",
    ),
    "the run directory": (
        *("train", "run.directory={file}/below"),
        "cannot create run directory {file}/below: not a directory; give another one, run.dir",
    ),
    "no run to resume": ("resume", "{empty}", "is no run directory"),
}


@pytest.mark.parametrize("case", DEEP_MISTAKES)
def test_mistake_that_only_the_ranks_see_is_one_line_of_four(tmp_path: Path, case: str) -> None:
    """Each is found at another depth; nothing is left, and no rank waits for another."""
    bad, plain, empty = tmp_path / "bad.h5", tmp_path / "file", tmp_path / "empty"
    plain.write_text("x")
    empty.mkdir()
    x = np.ones((8, 2), np.float32)
    x[1, 0] = np.nan
    write_arrays(bad, train_x=x, train_y=np.arange(8) % 2, test_x=x[2:], test_y=np.arange(6) % 2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    *words, expected = [w.format(bad=bad, file=plain, empty=empty) for w in DEEP_MISTAKES[case]]
    if words[0] == "train" and not words[-1].startswith("run.directory"):
        words.append(f"run.directory={tmp_path}/r")
    ended = run_launch(tmp_path, *words, ranks=4)
    lines = [li for li in (ended.stdout + ended.stderr).splitlines() if "mpitrain: error:" in li]
    assert len(lines) == 1, ended.stderr
    assert expected in lines[0]
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an HDF5 file of data."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


def test_files_of_others_are_not_overwritten(tmp_path: Path) -> None:
    """A folder with a result.json of somebody's is refused."""
    (tmp_path / "result.json").write_text("precious")
    ended = run_launch(tmp_path, "train", *SMALL, f"run.directory={tmp_path}", ranks=1)
    assert ended.returncode == 2
    assert (tmp_path / "result.json").read_text() == "precious"


def test_training_goes_on_when_nobody_reads_its_words(tmp_path: Path) -> None:
    """Standard error and output are closed pipes; the result is in the directory."""
    command = [sys.executable, "-m", "mpitrain", "train", *SMALL, "run.progress_every_s=0.001"]
    with subprocess.Popen(
        [*command, f"run.directory={tmp_path}/r"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stderr.close()
        process.wait(timeout=60)
    assert json.loads((tmp_path / "r" / "status.json").read_text())["status"] == "done"
    assert json.loads((tmp_path / "r" / "result.json").read_text())["steps"] == 40


def test_train_can_be_called_twice(tmp_path: Path) -> None:
    """mpitrain.train stays the function, whatever modules were imported meanwhile."""
    script = tmp_path / "twice.py"
    body = SCRIPT.replace("mpitrain.train(", "mpitrain.train(", 1)
    again = body.partition("result = ")[2].replace("sys.argv[1]", "sys.argv[2]")
    script.write_text(f'{body}\nsettings["run.directory"] = sys.argv[2]\nresult = {again}')
    command = [sys.executable, str(script), str(tmp_path / "a"), str(tmp_path / "b")]
    ended = run(command, cwd=tmp_path, timeout=60, environ={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 2
