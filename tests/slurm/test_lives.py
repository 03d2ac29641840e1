"""Runs whose jobs are stopped, requeued, preempted, or lose a rank or a node: nothing is lost."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from mpitrain.analysis.overview import overview_of
from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.verify import verify
from mpitrain.batch.decision import REQUEUE
from tests.ranks.launcher import run_launch
from tests.slurm.cluster import Cluster
from tests.slurm.scenes import RUN, STEPS, Scene, Stage

pytestmark = pytest.mark.slurm

ON_NODE3 = ("cut", "preempt", "set_down")  # one after the other
ELSEWHERE = (
    *("time_limit", "deadline", "signal_to_shell", "signal_to_ranks"),
    *("requeue", "cancel", "kill_rank"),
)
STOPPED = {  # what is written down of scenes in which the ranks had time for a checkpoint
    "signal_to_shell": "signal",
    "signal_to_ranks": "signal",
    "requeue": REQUEUE,
    "preempt": "preemption",
}

Scenes = dict[str, Scene | AssertionError]


@pytest.fixture(scope="module")
def scenes(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Every scene, or why it could not be played to its end."""
    stage = Stage(cluster, tmp_path_factory.mktemp("scenes"))

    def play(name: str) -> Scene | AssertionError:
        try:
            found: Scene = getattr(stage, name)()
        except AssertionError as error:
            return error
        return found

    with ThreadPoolExecutor(4) as elsewhere, ThreadPoolExecutor(1) as on_node3:
        playing = {name: on_node3.submit(play, name) for name in ON_NODE3}
        playing |= {name: elsewhere.submit(play, name) for name in ELSEWHERE}
        return {name: future.result() for name, future in playing.items()}


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the parameters' SHA-256 of the same run without any of this."""
    folder = tmp_path_factory.mktemp("straight")
    run_file = folder / "run.toml"
    run_file.write_text(RUN)
    ended = run_launch(folder, "train", str(run_file), f"run.directory={folder / 'run'}", ranks=2)
    assert ended.returncode == 0, ended
    return str(json.loads(ended.stdout)["parameters_sha256"])


def played(scenes: Scenes, name: str) -> Scene:
    """Return a scene that was played to its end."""
    found = scenes[name]
    if isinstance(found, AssertionError):
        raise found
    return found


@pytest.mark.parametrize("name", sorted({*ON_NODE3, *ELSEWHERE} - {"cancel"}))
def test_run_goes_on_by_itself_and_loses_nothing(scenes: Scenes, digest: str, name: str) -> None:
    """It ends with the bits of a run that nothing happened to, and no step is lost or doubled."""
    scene = played(scenes, name)
    assert scene.state == "COMPLETED", scene.output
    assert scene.restarts >= 1, scene.output
    assert scene.result["steps"] == STEPS
    assert scene.result["parameters_sha256"] == digest
    assert scene.story[-1] == ("ended", "done")
    report = verify(scene.directory)
    assert report.ok, report.findings
    assert "mpitrain: error" not in scene.output
    assert "Traceback" not in scene.output


@pytest.mark.parametrize(("name", "cause"), STOPPED.items())
def test_stop_with_time_for_a_checkpoint_loses_no_step(
    scenes: Scenes, name: str, cause: str
) -> None:
    """The next life begins where this one ended, beyond the last regular checkpoint."""
    scene = played(scenes, name)
    assert scene.story[0] == ("requeued", cause), scene.chain
    assert scene.chain[0]["outcome"] == "stopped"
    assert scene.result["life"] == 1
    lives = overview_of(open_readable(scene.directory))["lives"]
    assert [life["slurm"]["restarts"] for life in lives] == ["0", "1"]
    assert f"life 1 goes on from step-{scene.chain[0]['steps']:09d}" in scene.output
    assert f"stopped at step {scene.chain[0]['steps']} " in scene.output


@pytest.mark.parametrize("name", ["time_limit", "deadline"])
def test_run_longer_than_the_limit_takes_several_lives(scenes: Scenes, name: str) -> None:
    """Each ends before the limit, by Slurm's signal or by itself, and says so."""
    scene = played(scenes, name)
    causes = [line["cause"] for line in scene.chain]
    assert causes[:-1] == ["time limit"] * (len(causes) - 1)
    assert scene.restarts == len(causes) - 1
    assert "DUE TO TIME LIMIT" not in scene.output


def test_killed_rank_ends_the_step_at_once_and_the_run_goes_on(scenes: Scenes) -> None:
    """From the newest checkpoint."""
    scene = played(scenes, "kill_rank")
    assert scene.story[0] == ("requeued", "a lost rank or node"), scene.chain
    assert scene.chain[0]["outcome"] == "killed"
    assert scene.chain[0]["steps"] >= 60


@pytest.mark.parametrize("name", ["cut", "set_down"])
def test_lost_node_takes_its_job_with_it_and_the_run_goes_on(scenes: Scenes, name: str) -> None:
    """Nobody may be left to write anything down, and the node may still hold PMIx's old files."""
    scene = played(scenes, name)
    assert scene.story in ([("ended", "done")], [("requeued", REQUEUE), ("ended", "done")])
    assert scene.result["life"] == 1


def test_cancelled_job_stays_cancelled_with_a_checkpoint(scenes: Scenes) -> None:
    """What somebody ends is not brought back; what is there can be resumed."""
    scene = played(scenes, "cancel")
    assert (scene.state, scene.restarts) == ("CANCELLED", 0)
    assert scene.story == [("gave up", "cancelled")]
    assert scene.status["status"] == "stopped"
    assert verify(scene.directory).ok
