"""submit: what reaches sbatch, what is left in the run directory, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mpitrain.batch import ledger
from mpitrain.batch.header import Option
from mpitrain.batch.ledger import Entry
from mpitrain.batch.script import KEPT, MARKER, rendered
from mpitrain.command_line import main
from mpitrain.core.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
RUN = ["run.steps=4", "data.batch_size=8", "run.directory=r"]

Commands = Callable[[str, str], Path]
Refused = Callable[..., str]


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with a copy of the templates and a site file of its own."""
    for name in (*KEPT, "MPITRAIN_JOBS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "jobs").mkdir()
    template = (ROOT / "jobs" / "train.sbatch").read_text(encoding="utf-8")
    (tmp_path / "jobs" / "train.sbatch").write_text(template, encoding="utf-8")
    (tmp_path / "jobs" / "site.sh").write_text("export SBATCH_PARTITION=site\necho noise\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sbatch(commands: Commands, working: Path) -> Path:
    """Make an sbatch that takes everything; return the file with its arguments."""
    keep = 'env | grep ^SBATCH_ >"$0.env"; cat >"$0.script"; echo 4711'
    return commands("sbatch", keep)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Return a function that calls submit, which must refuse in one line, and gives that line."""

    def call(*words: str) -> str:
        try:
            code = main(["submit", *words])
        except SystemExit as error:  # the parser's
            code = int(str(error.code))
        said = capsys.readouterr()
        assert (code, said.out) == (2, "")
        assert said.err.count("\n") == 1
        return said.err.removeprefix("mpitrain: error: ").rstrip()

    return call


def simulated(*words: str) -> None:
    """Leave a run that is done in r."""
    assert main(["simulate", *RUN, "simulate.ranks=1", "run.progress_every_s=99", *words]) == 0


def test_job_is_handed_over_kept_and_written_down(
    sbatch: Path, working: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script on standard input, options in the command line, the site's variables, one id."""
    assert main(["submit", *RUN, "--nodes", "3", "--sbatch=--comment=a b"]) == 0
    said = capsys.readouterr()
    assert said.out == "4711\n"
    assert said.err == (
        f"mpitrain: job 4711: 3 nodes, 6 ranks, run directory {working / 'r'}; "
        "python -m mpitrain status r\n"
    )
    assert sbatch.read_text() == "--parsable --nodes=3 --comment=a b\n"
    script = sbatch.with_suffix(".script").read_text()
    assert script == (working / "r" / "job.sbatch").read_text()
    assert '#SBATCH --comment="a b"' in script
    assert "SBATCH_PARTITION=site" in sbatch.with_suffix(".env").read_text().splitlines()
    (entry,) = ledger.entries(working / "r")
    assert (entry.job, entry.what, entry.text) == (
        "4711",
        "submitted",
        "submitted: 3 nodes, 6 ranks",
    )
    assert sorted(path.name for path in (working / "r").iterdir()) == ["job.sbatch", "jobs.jsonl"]


def test_two_runs_of_one_second_get_directories_of_their_own(sbatch: Path, working: Path) -> None:
    """Named as train would name them."""
    for _ in range(3):
        assert main(["submit", "run.name=x"]) == 0
    assert len(list((working / "runs").glob("x-*/job.sbatch"))) == 3


@pytest.mark.parametrize("words", [["a b", "it's", "$HOME", "`x`", "\\", '"', "a\nb", "", "ä;#*"]])
def test_words_reach_the_script_as_they_are(words: list[str]) -> None:
    """Whatever they hold; so do the values of variables."""
    template = f'#!/bin/bash\n#SBATCH --nodes=1\n{MARKER}\nprintf \'%s\\0\' "$@" "$odd"\n'
    script = rendered(template, [], {"odd": words[0] + words[1]}, words)
    done = subprocess.run(["bash"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0") == [*words, words[0] + words[1], ""]


def test_a_template_without_its_place_is_refused() -> None:
    """Nor may it have two."""
    for template in ("#!/bin/sh\n", f"#!/bin/sh\n{MARKER}\n{MARKER}\n"):
        with pytest.raises(UserError, match="the template must have the line"):
            rendered(template, [], {}, ["x"])


def test_what_no_script_can_hold_is_refused() -> None:
    """Bytes that are no text, and an option of two lines, as from a folder with an odd name."""
    template = f"#!/bin/sh\n{MARKER}\n"
    with pytest.raises(UserError, match="is no UTF-8 text"):
        rendered(template, [], {}, ["data.path=\udcff"])
    with pytest.raises(UserError, match="cannot be a line of a job script"):
        rendered(template, [Option("--chdir", "/a\n#SBATCH --b")], {}, ["x"])


def test_variable_names_another_folder_of_templates(
    working: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refused: Refused,
) -> None:
    """MPITRAIN_JOBS comes first, as in the template; without ./jobs the package's own serve."""
    other = tmp_path_factory.mktemp("other")
    monkeypatch.setenv("MPITRAIN_JOBS", str(other))
    assert (
        refused(*RUN, "--dry-run") == f"MPITRAIN_JOBS is '{other}', where there is no train.sbatch"
    )
    (working / "jobs").rename(other / "jobs")
    monkeypatch.setenv("MPITRAIN_JOBS", f"{other}/jobs")
    assert main(["submit", *RUN, "--dry-run"]) == 0
    assert f"export MPITRAIN_JOBS={other}/jobs\n" in capsys.readouterr().out
    monkeypatch.delenv("MPITRAIN_JOBS")
    assert main(["submit", *RUN, "--dry-run"]) == 0
    script = capsys.readouterr().out
    assert f"export MPITRAIN_JOBS={ROOT}/jobs\n" in script
    assert "export MPITRAIN_PYTHON=/" in script  # of this environment, where no site file knows it
    (other / "jobs" / "site.sh").unlink()
    monkeypatch.setenv("MPITRAIN_JOBS", f"{other}/jobs")
    assert "site.sh cannot be read: no such file or directory" in refused(*RUN, "--dry-run")


MISTAKES = {
    "nodes": (["--nodes", "0"], "must be an integer >= 1, got '0'"),
    "too many": (["--nodes", "99999999"], "--nodes must be between 1 and 1000000"),
    "no number": (["--gpus-per-rank", "two"], "must be an integer >= 1, got 'two'"),
    "no time": (["--time", "2h"], "--time must be minutes"),
    "time is nothing": (["--time", "0:00"], "--time must be minutes"),
    "time too short": (["--time", "1"], "--time 1 leaves no time to train: the signal to stop"),
    "no job": (["--after", "soon"], "--after must be the number of a job, got 'soon'"),
    "no option": (["--sbatch=x"], "an option of sbatch begins with '-'"),
    "array": (["--sbatch=-a 1-3"], "--sbatch must not bring --array: each of its jobs"),
    "name": (["--name", "a/b"], "--name must be printable and without /, got 'a/b'"),
    "partition": (["--partition", "a\nb"], "--partition must be a name"),
    "no GPU is used": (["--gpus-per-rank=1", "device.kind=cpu"], "device.kind is cpu"),
    "run file": (["nowhere.toml"], "cannot read run file nowhere.toml"),
    "setting": (["mode.kind=sspp"], "unknown mode 'sspp'"),
    "option": (["--or-resume"], "arguments: --or-resume; see mpitrain submit --help"),
    "no directory": (["run.directory="], "run.directory must name a folder"),
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_mistakes_are_one_line_and_leave_nothing(
    name: str, dry: list[str], sbatch: Path, working: Path, refused: Refused
) -> None:
    """Slurm is not asked."""
    words, message = MISTAKES[name]
    assert message in refused(*RUN, *words, *dry)
    assert not (working / "r").exists()
    assert not sbatch.exists()


def test_what_slurm_refuses_is_one_line_and_leaves_nothing(
    commands: Commands, working: Path, refused: Refused
) -> None:
    """Neither a new run directory nor a script in an old one; folders above are gone too."""
    commands("sbatch", "echo 'sbatch: error: invalid partition specified: nope' >&2; exit 1")
    words = ["run.directory=deep/er/r", "--partition", "nope"]
    message = "sbatch refused the job: invalid partition specified: nope"
    assert refused(*words) == message
    assert not (working / "deep").exists()
    (working / "deep" / "er" / "r").mkdir(parents=True)
    assert refused(*words) == message
    assert list((working / "deep" / "er" / "r").iterdir()) == []


def test_no_slurm_is_said(
    working: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    """--dry-run works all the same."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bash").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert refused(*RUN) == "there is no sbatch here; --dry-run prints the script"
    assert not (working / "r").exists()
    assert main(["submit", *RUN, "--dry-run"]) == 0


def test_a_site_file_that_fails_is_said(sbatch: Path, working: Path, refused: Refused) -> None:
    """The job would go without what it was to set."""
    site = working / "jobs" / "site.sh"
    site.write_text("echo no such module >&2\n(exit 127)\n")
    said = f"the job was not submitted: no such module {site} ended with exit code 127"
    assert refused(*RUN) == said
    assert not sbatch.exists()


@pytest.mark.parametrize(
    ("text", "said"), [("exit 5", "ended with exit code 5"), ("A=(\nB=(1)\nC=2", "syntax error")]
)
def test_a_site_file_that_ends_or_is_none_is_said(
    sbatch: Path, working: Path, refused: Refused, text: str, said: str
) -> None:
    """Neither leaves a word by itself."""
    site = working / "jobs" / "site.sh"
    site.write_text(f"{text}\n")
    message = refused(*RUN)
    assert message.startswith(f"the job was not submitted: {site}")
    assert said in message
    assert not sbatch.exists()


@pytest.mark.parametrize(
    ("output", "is_taken"),
    [
        ("nowhere/%j.out", False),
        ("jobs/site.sh/%j.out", False),
        ("jobs/%x-%j.out", True),
        ("%x/%j.out", True),
        ("/dev/null", True),
        ("/not/here/%j.out", True),
    ],
)
def test_output_that_slurm_could_not_write_is_refused(
    sbatch: Path, working: Path, refused: Refused, output: str, is_taken: bool
) -> None:
    """The job would end without a word; what may be on the nodes alone is taken."""
    words = [*RUN, f"--sbatch=--output={output}"]
    if is_taken:
        assert main(["submit", *words]) == 0
    else:
        assert f"the job's output {output} cannot be written in " in refused(*words)
        assert not sbatch.exists()


def test_directory_that_cannot_be_written_is_said(
    sbatch: Path, working: Path, refused: Refused
) -> None:
    """Before Slurm has the job."""
    (working / "r").write_text("a file")
    assert "r cannot be written: file exists; give another one, run.directory=..." in refused(*RUN)
    assert not sbatch.exists()


def test_a_run_that_is_done_is_refused_unless_more_is_asked_for(
    sbatch: Path, working: Path, capsys: pytest.CaptureFixture[str], refused: Refused
) -> None:
    """What it goes on with is said, and what no checkpoint can follow is refused."""
    simulated()
    capsys.readouterr()
    assert "r holds a run that is done; for more of it give a larger run.steps" in refused(*RUN)
    more = [*RUN, "run.steps=8"]
    assert "model.hidden cannot be changed on resume" in refused(*more, "model.hidden=[3]")
    assert not sbatch.exists()
    assert main(["submit", *more]) == 0
    assert f"goes on with the run in {working / 'r'}" in capsys.readouterr().err


def test_a_second_job_for_a_run_must_wait_for_the_first(
    commands: Commands, sbatch: Path, working: Path, refused: Refused
) -> None:
    """Two would write one run; --after makes a chain, and a job that is gone is no hindrance."""
    (working / "r").mkdir()
    ledger.append(working / "r", Entry(time="t", job="12", what="submitted"))
    commands("scontrol", "echo 'JobId=12 JobState=PENDING Reason=Priority'")
    assert refused(*RUN) == (
        "job 12 has this run directory already, and is PENDING: --after 12 goes on when it has "
        "ended, scancel 12 ends it"
    )
    assert main(["submit", *RUN, "--after", "12"]) == 0
    assert "--dependency=afterany:12" in sbatch.read_text()
    commands("scontrol", "echo 'JobId=12 JobState=CANCELLED'")
    assert main(["submit", *RUN]) == 0
