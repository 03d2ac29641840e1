"""Real runs of four ranks with a straggler, for the tests of tools."""

from __future__ import annotations

from pathlib import Path

from tests.ranks.launcher import run_launch

LATE = ("straggler.kind=exponential", "straggler.ranks=[3]", "straggler.delay=0.005")


def real_run(root: Path, mode: str, *words: str) -> Path:
    """Train the bundled digits on four ranks, rank 3 late in every step; return the run."""
    settings = [f"run.directory={root}", "run.data_passes=8", "run.evaluate_every=150"]
    done = run_launch(
        root.parent, "train", f"jobs/digits-{mode}.toml", *settings, *LATE, *words, ranks=4
    )
    assert done.returncode == 0, done.stderr
    return root
