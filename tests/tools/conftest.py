"""A real run that the tools are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ranks.launcher import run_launch

STEPS = 400


@pytest.fixture(scope="session")
def ssp_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a run of 4 ranks with a slow one, checkpoints and evaluations."""
    folder = tmp_path_factory.mktemp("ssp")
    settings = ["data.source=digits", "data.batch_size=16", "model.kind=mlp", "model.hidden=[16]"]
    settings += ["mode.kind=ssp", "mode.bound=3", f"run.steps={STEPS}", "run.evaluate_every=100"]
    settings += ["straggler.kind=exponential", "straggler.ranks=[3]", "straggler.delay=0.002"]
    settings += ["checkpoint.every_steps=150", "checkpoint.keep=9", "log.flush_every_s=0.5"]
    (folder / "job.toml").touch()
    words = ["train", str(folder / "job.toml"), f"run.directory={folder / 'run'}", *settings]
    done = run_launch(folder, *words, ranks=4, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "run"
