"""``submit``: check a run, make its job script, hand it to Slurm, and begin its job chain."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mpitrain.batch import ledger, queue
from mpitrain.batch.chain import open_jobs
from mpitrain.batch.header import Option, options_in
from mpitrain.batch.script import JOBS, KEPT, MOST_REQUEUES, PYTHON, rendered
from mpitrain.batch.submission import Asked, described
from mpitrain.batch.templates import Templates, find_templates
from mpitrain.config import Config, changed, load, parsed
from mpitrain.core.errors import LogError, UserError, reason
from mpitrain.launch import check_run, train_words
from mpitrain.running.going_on import Begun, begun
from mpitrain.running.resuming import find_resumption
from mpitrain.storage.durable import write_bytes

SCRIPT = "job.sbatch"
_DIRECTORY = "run.directory"
# site.sh may say anything on its output, and must not read the script from its input
_SUBMIT = """
bash -n "$0" || exit 1
trap 'echo "$0 ended with exit code $?" >&2; exit 1' EXIT
. "$0" >&2 </dev/null || exit
trap - EXIT
command -v sbatch >/dev/null || { echo "sbatch: error: there is no sbatch here" >&2; exit 127; }
exec sbatch --parsable "$@"
"""


def submit(words: Sequence[str], asked: Asked, *, is_dry: bool) -> int:
    """Submit a run as a job, or print the script.

    Args:
        words: run file and overrides, as ``train`` takes them.
        asked: of Slurm.
        is_dry: print the script, and do nothing.

    Raises:
        UserError: a mistake in the run or in what is asked, or Slurm does not take it.
    """
    check_run("train", words)
    run_file, overrides = train_words(words)
    config = load(run_file, overrides)
    options, name = asked.options(), asked.name_of(config)
    templates = find_templates(os.environ, Path.cwd())
    root = _run_directory(config, name)
    run = [word for word in overrides if parsed(word)[0] != _DIRECTORY]
    script = rendered(
        templates.read(),
        [Option("--job-name", name), Option("--chdir", str(Path.cwd())), *options],
        _variables(templates, asked, os.environ),
        [*([] if run_file is None else [run_file]), *run, f"{_DIRECTORY}={root}"],
    )
    size = described(script, asked, config, os.environ)
    _check_output(options_in(script).get("--output", ""))
    found = begun(changed(config, {_DIRECTORY: str(root)}), run)
    _check_directory(root, found, asked)
    if is_dry:
        sys.stdout.write(script)
        return 0
    command = ["bash", "-c", _SUBMIT, str(templates.site), *(option.word for option in options)]
    job_id = _hand_over(root, command, script)
    text = f"submitted: {size}"
    _write(root, ledger.Entry(time=ledger.now_text(), job=job_id, what=ledger.SUBMITTED, text=text))
    sys.stdout.write(f"{job_id}\n")
    sys.stdout.flush()
    goes_on = "goes on with the run in" if found else "run directory"
    _say(f"job {job_id}: {size}, {goes_on} {root}; python -m mpitrain status {_shown(root)}")
    return 0


def _run_directory(config: Config, name: str) -> Path:
    if config.run.directory is not None:
        return Path(config.run.directory).absolute()
    base = Path.cwd() / "runs" / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    others = (base.with_name(f"{base.name}-{number}") for number in itertools.count(2))
    return next(place for place in itertools.chain([base], others) if not place.exists())


def _variables(templates: Templates, asked: Asked, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the script exports, so that it does not depend on the shell that submits it."""
    kept = {name: environ[name] for name in KEPT if environ.get(name)}
    if templates.is_bundled:  # its site file expects an environment in the working folder
        kept.setdefault(PYTHON, sys.executable)
    if asked.at_most is not None:
        kept[MOST_REQUEUES] = str(asked.at_most)
    return {JOBS: str(templates.folder), **kept}


def _check_output(output: str) -> None:
    """Check that the job's output can be written; else Slurm ends the job without a word.

    An absolute folder that is not here may be on the nodes.

    Raises:
        UserError: it cannot.
    """
    folder = Path(output).parent
    is_elsewhere = folder.is_absolute() and not folder.exists()
    is_good = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    if "%" in str(folder) or is_elsewhere or is_good or os.access(output, os.W_OK):
        return
    message = (
        f"the job's output {output} cannot be written in {folder.absolute()}; make that folder, "
        "submit from another one, or say --sbatch=--output=FILE"
    )
    raise UserError(message)


def _check_directory(root: Path, found: Begun | None, asked: Asked) -> None:
    """Check that the run in ``root``, if there is one, may go on, and that no job has it.

    Raises:
        UserError: it must not.
    """
    if found is not None and found.result is not None:
        message = (
            f"{root} holds a run that is done; for more of it give a larger run.steps or "
            f"run.data_passes, for a new run another {_DIRECTORY}"
        )
        raise UserError(message)
    if found is not None:
        find_resumption(root, found.overrides, None)
    if asked.after is not None:
        return
    for job_id in open_jobs(_chain(root)):
        record = queue.record_of(job_id)
        if record is not None and record.is_alive:
            message = (
                f"job {job_id} has this run directory already, and is {record.state}: --after "
                f"{job_id} goes on when it has ended, scancel {job_id} ends it"
            )
            raise UserError(message)


def _chain(root: Path) -> list[ledger.Entry]:
    if not root.is_dir():  # not there, or no folder: said where it is made
        return []
    try:
        return ledger.entries(root)
    except LogError as error:
        raise UserError(str(error)) from error


def _hand_over(root: Path, command: Sequence[str], script: str) -> str:
    """Keep the script in the run directory and submit it; leave nothing where it is refused."""
    kept, draft = root / SCRIPT, root / f".{SCRIPT}.{os.getpid()}"
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        write_bytes(draft, script.encode())
    except OSError as error:
        message = (
            f"run directory {root} cannot be written: {reason(error)}; give another one, "
            f"{_DIRECTORY}=..."
        )
        raise UserError(message) from error
    try:
        job_id = queue.submit(command, script)
    except BaseException:
        draft.unlink(missing_ok=True)
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise
    draft.replace(kept)
    return job_id


def _write(root: Path, entry: ledger.Entry) -> None:
    try:
        ledger.append(root, entry)
    except LogError as error:  # the job is there all the same
        _say(str(error))


def _shown(root: Path) -> str:
    """Return the run directory as short as it can be typed here."""
    here = Path.cwd()
    return shlex.quote(str(root.relative_to(here) if root.is_relative_to(here) else root))


def _say(text: str) -> None:
    sys.stderr.write(f"mpitrain: {text}\n")
