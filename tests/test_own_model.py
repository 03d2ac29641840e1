"""A user's own model and data: in a script, plainly and on ranks, and named in a run file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mpitrain
from tests.ranks.launcher import ROOT, python_of, run

MINE = '''
import numpy as np
import mpitrain


class Logistic:
    """Is the sum of the features large?"""

    layout = mpitrain.Layout.of({"w": (3,), "b": (1,)}, "float64")
    metric_name = "accuracy"

    def init(self, seed):
        return np.zeros(4)

    def loss_and_gradient(self, parameters, batch, out):
        p = 1 / (1 + np.exp(-(batch.x @ parameters["w"] + parameters["b"])))
        out["w"][:] = (p - batch.y) @ batch.x
        out["b"][:] = (p - batch.y).sum()
        return float(-np.log(np.where(batch.y, p, 1 - p)).sum())

    def evaluate(self, parameters, batch):
        is_large = batch.x @ parameters["w"] + parameters["b"] > 0
        return {"loss": 0.0, "accuracy": float((is_large == batch.y).sum())}


def model(config, source):
    return Logistic()


def data(config):
    x = np.random.default_rng(0).random((240, 3))
    y = (x.sum(axis=1) > 1.5).astype(int)
    return x[:200], y[:200], x[200:], y[200:]
'''
SCRIPT = """
import sys
import mine
import mpitrain

settings = {"run.steps": 200, "optimizer.rate": 2.0, "mode.kind": sys.argv[1]}
settings["run.directory"] = sys.argv[2]
result = mpitrain.train(mine.model(None, None), mine.data(None), **settings)
print(result.json_line(), flush=True)
"""


def outcome(ended: subprocess.CompletedProcess[str], ranks: int) -> dict[str, Any]:
    """Return the result that every rank printed, or rank 0 alone."""
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) in (1, ranks)
    found = [json.loads(line) for line in lines]
    assert all(result == found[0] for result in found)
    return dict(found[0])


def test_own_model_trains_by_script_and_by_name(tmp_path: Path) -> None:
    """One rank in a plain interpreter; four by script and by run file, with the same bits."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "script.py").write_text(SCRIPT)
    python = str(python_of("openmpi"))
    launch = [python, "-m", "mpitrain", "launch", "-n", "4"]
    named = ["model.kind=mine:model", "data.source=mine:data", "run.steps=200", "optimizer.rate=2"]
    jobs = {
        "plain": ([python, "script.py", "asp", "plain"], 1),
        "script": ([*launch, "script.py", "bsp", "script"], 4),
        "named": ([*launch, "train", *named, "run.directory=named"], 4),
    }
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    results = {
        name: outcome(run(words, cwd=tmp_path, timeout=60, environ=environ), ranks)
        for name, (words, ranks) in jobs.items()
    }
    assert all(result["accuracy"] > 0.8 for result in results.values())
    assert [result["ranks"] for result in results.values()] == [1, 4, 4]
    assert results["script"]["parameters_sha256"] == results["named"]["parameters_sha256"]
    checkpoint = mpitrain.load_checkpoint(tmp_path / "named")
    assert {name: values.shape for name, values in checkpoint.parameters.items()} == {
        "w": (3,),
        "b": (1,),
    }
    assert checkpoint.steps == 200


def test_public_names_start_no_mpi() -> None:
    """All can be looked at on a login node."""
    names = ", ".join(f"mpitrain.{name}" for name in mpitrain.__all__)
    code = f"import sys, mpitrain; {names}; print('mpi4py' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "False\n"
