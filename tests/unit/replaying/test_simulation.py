from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

import mpitrain
from mpitrain.analysis.verify import verify
from mpitrain.config import from_mapping
from mpitrain.core.errors import UserError
from mpitrain.replaying.prediction import advise, predict
from mpitrain.replaying.session import replay_run
from mpitrain.replaying.simulation import simulate_run
from mpitrain.result import Result
from mpitrain.schedules.stored import read_schedule
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.reading import open_log


def simulated(root: Path, **tables: dict[str, Any]) -> Result:
    """Train softmax on synthetic data, on 4 simulated ranks; ``tables`` override."""
    settings: dict[str, dict[str, Any]] = {
        "run": {"steps": 60, "directory": str(root), "progress_every_s": 1e6},
        "data": {
            "source": "synthetic",
            "num_samples": 301,
            "num_test": 50,
            "num_features": 7,
            "num_classes": 3,
            "batch_size": 4,
        },
        "model": {"kind": "softmax"},
        "optimizer": {"rate": 0.05},
        "simulate": {"kind": "delays", "ranks": 4},
    }
    for name, table in tables.items():
        settings[name] = {**settings.get(name, {}), **table}
    return simulate_run(from_mapping(settings))


def test_simulated_run_is_an_ordinary_one(tmp_path: Path) -> None:
    """Logs, checkpoint, result; the same twice; another seed of the delays, another run."""
    result = simulated(tmp_path / "a")
    assert (result.steps, result.ranks, result.simulated) == (60, 4, "delays")
    assert result.staleness_mean > 0
    report = verify(tmp_path / "a")
    assert report.ok, report
    assert report.rows == 60
    newest = Checkpoints(tmp_path / "a" / "checkpoints").newest()
    assert newest is not None
    assert newest.steps == 60
    again = simulated(tmp_path / "b")
    assert again.parameters_sha256 == result.parameters_sha256
    other = simulated(tmp_path / "c", simulate={"seed": 9})
    assert other.parameters_sha256 != result.parameters_sha256


def test_delays_are_measured_from_a_log(tmp_path: Path) -> None:
    """A log without versions has none; what is no run is said."""
    simulated(tmp_path / "a")
    where = {"delay": "measured", "measured_from": str(tmp_path / "a")}
    with pytest.raises(UserError, match=r"versions of at least two ranks"):
        simulated(tmp_path / "b", simulate=where)
    where["measured_from"] = str(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"simulate\.measured_from: .*nothing is no run directory"):
        simulated(tmp_path / "b", simulate=where)
    assert not (tmp_path / "b").exists()


def test_public_functions_stay_functions(tmp_path: Path) -> None:
    """Also when they were used, and so everything behind them was imported."""
    simulated(tmp_path / "a", simulate={"kind": "events"})
    for number in range(2):
        found = mpitrain.replay(tmp_path / "a", **{"run.directory": str(tmp_path / f"b{number}")})
        assert found.is_same
    assert callable(mpitrain.simulate)


def test_simulation_starts_from_a_checkpoint_where_it_is_asked_to(tmp_path: Path) -> None:
    """And says what it does not look at."""
    first = simulated(tmp_path / "a")
    again = simulated(tmp_path / "b", run={"init_from": str(tmp_path / "a")})
    assert again.loss < first.loss
    with pytest.raises(UserError, match=r"simulate\.ranks = 20000 and 1 steps of each make 4e\+08"):
        simulated(
            tmp_path / "c",
            simulate={"ranks": 20000},
            run={"steps": 20000},
            data={"num_samples": 20000},
        )


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(UserError, match=r"simulate\.delay_ticks must be a whole number"):
        simulated(tmp_path / "a", simulate={"delay_ticks": 1.5})
    with pytest.raises(UserError, match=r"simulate\.measured_from must be a run directory"):
        simulated(tmp_path / "a", simulate={"delay": "measured"})
    assert not (tmp_path / "a").exists()


def test_very_many_ranks_have_no_logs(tmp_path: Path) -> None:
    """A file each would be too many."""
    result = simulated(tmp_path / "a", simulate={"ranks": 300}, run={"steps": 300})
    assert result.ranks == 300
    assert not (tmp_path / "a" / "log").exists()
    with pytest.raises(Exception, match="no staleness log"):
        open_log(tmp_path / "a")


@pytest.mark.parametrize("mode", ["bsp", "ssp", "asp"])
def test_simulated_cluster_trains_and_its_replay_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    """What a simulated run logs is what replay needs; the stored schedule gives it again."""
    tables: dict[str, dict[str, Any]] = {
        "mode": {"kind": mode, "shards": 3},
        "simulate": {"kind": "events", "compute": "exponential"},
        "straggler": {"kind": "constant", "ranks": (1,), "delay": 0.02},
        "run": {"steps": 60, "evaluate_every": 20},
    }
    result = simulated(tmp_path / "a", **tables)
    assert verify(tmp_path / "a").ok
    assert result.seconds > 60 * 0.01 / 4
    found = replay_run(tmp_path / "a", {"run.directory": str(tmp_path / "b")})
    assert found.is_same, found.lines
    assert found.result.parameters_sha256 == result.parameters_sha256
    path = str(tmp_path / "a" / "schedule.h5")
    tables["simulate"] = {"kind": "file", "path": path}
    tables["mode"] = {"shards": 3}
    capsys.readouterr()
    again = simulated(tmp_path / "c", staleness={"factor": "none", "power": 0.5}, **tables)
    assert again.parameters_sha256 == result.parameters_sha256
    said = capsys.readouterr().err
    # the schedule decides the mode, here that of the run file's default or not
    assert "ignored: staleness.power = 0.5 (staleness.factor is none)" in said
    assert mode == "bsp" or "(mode.kind is bsp)" not in said
    assert "ignored: straggler.kind" in said
    assert "ignored: mode.shards" not in said
    tables["simulate"]["ranks"] = 5
    with pytest.raises(UserError, match=r"schedule has simulate\.ranks = 4, not 5; give"):
        simulated(tmp_path / "d", **tables)


def test_cluster_is_predicted_without_training(tmp_path: Path) -> None:
    """Many ranks, more than training samples; the schedule and the picture are kept."""
    tables = {
        "simulate": {"ranks": 400, "compute": "pareto", "exponent": 3.0, "speeds": [1.0, 2.0]},
        "mode": {"kind": "ssp", "bound": 2, "shards": 4},
        "run": {"steps": 4000},
        "data": {"source": "synthetic", "num_samples": 50, "num_test": 5, "batch_size": 4},
    }
    out, plot = str(tmp_path / "s.h5"), str(tmp_path / "s.svg")
    facts = predict(from_mapping(tables), out=out, plot=plot)
    assert (facts["ranks"], facts["steps"], facts["lead_max"]) == (400, 4000, 2)
    assert 0 < facts["wait_share"] < 1
    assert read_schedule(out).num_updates == 4000
    assert "<svg" in Path(plot).read_text()
    for wrong, said in (
        ({"plot": "s.gif"}, r"must end in one of"),
        ({"plot": str(tmp_path / "no" / "s.png")}, r"there is no folder"),
        ({"out": str(tmp_path / "no" / "s.h5")}, r"cannot be written"),
    ):
        with pytest.raises(UserError, match=said):
            predict(from_mapping(tables), **wrong)
    with pytest.raises(UserError, match=r"--schedule-only predicts simulate\.kind 'events'"):
        predict(from_mapping({"simulate": {"kind": "delays"}}))


def test_advice_names_the_least_bound_that_is_nearly_as_fast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured from the log of a run, here a simulated one whose truth is known."""
    tables: dict[str, dict[str, Any]] = {
        "mode": {"kind": "asp"},
        "simulate": {"kind": "events", "compute": "exponential", "compute_s": 0.05},
        "run": {"steps": 2000},
        "data": {"batch_size": 1},
        "log": {"flush_every_s": 0.5},
    }
    simulated(tmp_path / "a", **tables)
    rows = advise(tmp_path / "a")
    said = capsys.readouterr().err
    measured, synchronous, *_, asynchronous = rows
    assert measured["is_measured"]
    # no waiting: 4 ranks of 20 steps/s; the slowest of 4 exponential times is 25/12 of their mean
    assert asynchronous["steps_per_s"] == pytest.approx(80, rel=0.05)
    assert asynchronous["steps_per_s"] == pytest.approx(measured["steps_per_s"], rel=0.05)
    assert synchronous["steps_per_s"] == pytest.approx(80 * 12 / 25, rel=0.05)
    assert asynchronous["staleness_mean"] == pytest.approx(3, rel=0.05)
    speeds = [row["steps_per_s"] for row in rows[1:]]
    assert all(after > 0.97 * before for before, after in itertools.pairwise(speeds))
    assert "advice: ssp" in said
    simulated(tmp_path / "b", mode={"kind": "asp"}, simulate={"kind": "events"})
    with pytest.raises(UserError, match=r"rank-0000\d\.h5: \d+ steps are too few to measure"):
        advise(tmp_path / "b")


def test_measured_ranks_are_not_late_twice(tmp_path: Path) -> None:
    """Lateness injected into the measured run is in its times; another one is added to them."""
    late = {"kind": "constant", "delay": 0.03}
    tables: dict[str, dict[str, Any]] = {
        "mode": {"kind": "asp"},
        "simulate": {"kind": "events", "compute": "constant", "overhead_s": 0.0, "latency_s": 0.0},
        "straggler": late,
        "run": {"steps": 200},
    }
    simulated(tmp_path / "a", **tables)
    tables["simulate"] |= {"compute": "measured", "measured_from": str(tmp_path / "a")}
    for straggler, seconds in ((late, 0.04), ({**late, "delay": 0.06}, 0.1), ({}, 0.04)):
        tables["straggler"] = straggler
        facts = predict(from_mapping(tables))
        assert facts["steps_per_s"] == pytest.approx(4 / seconds, rel=0.01), straggler


def test_measured_reduction_takes_longer_on_more_ranks(tmp_path: Path) -> None:
    """By the levels of the tree: two on 4 ranks, six on 64."""
    tables: dict[str, dict[str, Any]] = {
        "mode": {"kind": "bsp"},
        "simulate": {"kind": "events", "compute": "constant", "overhead_s": 0.0, "latency_s": 0.01},
        "run": {"steps": 640},
        "data": {"batch_size": 1},
    }
    simulated(tmp_path / "a", **tables)
    tables["simulate"] |= {"compute": "measured", "measured_from": str(tmp_path / "a")}
    del tables["simulate"]["latency_s"], tables["simulate"]["overhead_s"]
    for ranks, seconds in ((4, 0.05), (64, 0.13)):
        tables["simulate"]["ranks"] = ranks
        facts = predict(from_mapping(tables))
        assert facts["steps_per_s"] == pytest.approx(ranks / seconds, rel=0.01), ranks
