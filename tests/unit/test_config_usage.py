"""What a configuration has no use for is said; what ``config`` prints can be run again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpitrain.command_line import main
from mpitrain.config import Config, Optimizer, changed, from_mapping, ignored, load, settings
from mpitrain.config import to_toml as written
from mpitrain.core.errors import UserError

ROOT = Path(__file__).parents[2]
SEED, NUM_FILES = 7, 200


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([], []),
        (
            ["optimizer.kind=adam", "optimizer.momentum=0.5"],
            ["optimizer.momentum = 0.5 (optimizer.kind is adam)"],
        ),
        (
            ["optimizer.kind=adam", "optimizer.momentum=0.9"],  # given, although it is the default
            ["optimizer.momentum = 0.9 (optimizer.kind is adam)"],
        ),
        (["optimizer.kind=nesterov", "optimizer.momentum=0.5"], []),
        (["model.kind=softmax", "model.hidden=[]"], ["model.hidden = [] (model.kind is softmax)"]),
        (["model.kind=my.models:make", "model.hidden=[8]"], []),
        (["mode.scale=sum"], ['mode.scale = "sum" (mode.kind is bsp)']),
        (["mode.kind=asp", "mode.reduction=mpi"], ['mode.reduction = "mpi" (mode.kind is asp)']),
        (["data.path=/a"], ['data.path = "/a" (data.source is digits)']),
        (  # also what asks for nothing
            ["data.path=none", "optimizer.final=0", "straggler.delay=0.0", "straggler.ranks=[]"],
            [
                "data.path = none (data.source is digits)",
                "optimizer.final = 0.0 (optimizer.schedule is constant)",
                "straggler.ranks = [] (straggler.kind is none)",
                "straggler.delay = 0.0 (straggler.kind is none)",
            ],
        ),
        (["straggler.delay=0.1"], ["straggler.delay = 0.1 (straggler.kind is none)"]),
        (
            ["optimizer.schedule=cosine", "optimizer.decay=0.5", "optimizer.final=0.01"],
            ["optimizer.decay = 0.5 (optimizer.schedule is cosine)"],
        ),
        (
            ["staleness.factor=hinge", "staleness.hinge_start=1", "staleness.compensation=none"],
            [
                'staleness.factor = "hinge" (mode.kind is bsp)',
                "staleness.hinge_start = 1.0 (mode.kind is bsp)",
                'staleness.compensation = "none" (mode.kind is bsp)',
            ],
        ),
        (
            ["mode.kind=asp", "staleness.power=1", "staleness.mean=2", "staleness.factor=inverse"],
            [
                "staleness.power = 1.0 (staleness.factor is inverse)",
                "staleness.mean = 2.0 (staleness.normalize is false)",
            ],
        ),
        (["mode.kind=ssp", "staleness.compensation=gap_aware", "staleness.gap_decay=0.9"], []),
        (["checkpoint.best=smallest"], []),  # the best metric of every run goes by it
        (
            ["run.early_stop_delta=0.1"],
            ["run.early_stop_delta = 0.1 (run.early_stop is none)"],
        ),
        (
            ["checkpoint.enabled=false", "checkpoint.keep_best=2"],
            ["checkpoint.keep_best = 2 (checkpoint.enabled is false)"],
        ),
        (
            ["log.enabled=false", "log.per_shard=true"],
            ["log.per_shard = true (log.enabled is false)"],
        ),
    ],
)
def test_ignored_names_what_was_given_in_vain(words: list[str], lines: list[str]) -> None:
    """Value and reason of each, in the order of the tables; defaults are not spoken of."""
    assert ignored(load(None, words)) == lines


def test_given_is_known_however_a_configuration_is_made(tmp_path: Path) -> None:
    """From a file, a mapping, an override of either, or from tables."""
    tables = {"optimizer": {"kind": "adam", "momentum": 0.9}}
    path = tmp_path / "run.toml"
    path.write_text('[optimizer]\nkind = "adam"\nmomentum = 0.9\n')
    line = ["optimizer.momentum = 0.9 (optimizer.kind is adam)"]
    assert ignored(load(path)) == ignored(from_mapping(tables)) == line
    assert ignored(load(path, ["optimizer.kind=momentum"])) == []
    assert ignored(changed(Config(), {"optimizer.kind": "adam", "optimizer.momentum": 0.9})) == line
    assert ignored(Config(optimizer=Optimizer(kind="sgd", momentum=0.5))) == [
        "optimizer.momentum = 0.5 (optimizer.kind is sgd)"
    ]


def test_what_a_run_wrote_into_its_run_file_was_given_by_nobody(tmp_path: Path) -> None:
    """Only what differs from the default, and what a command says besides, is told."""
    path = tmp_path / "run.toml"
    late = ["straggler.kind=constant", "straggler.delay=0.02"]
    path.write_text(written(load(None, late), environment={"cpu": "x"}))
    assert 'unit = "seconds"' in path.read_text()
    line = "straggler.delay = 0.02 (straggler.kind is none)"
    assert ignored(load(path, ["straggler.kind=none"])) == [line]
    assert ignored(changed(load(path), {"straggler.kind": "none"})) == [line]
    assert ignored(load(path, ["straggler.kind=none", "straggler.unit=seconds"])) == [
        line,
        'straggler.unit = "seconds" (straggler.kind is none)',
    ]


def test_settings_of_what_a_script_gives_are_ignored() -> None:
    """But for the batch sizes."""
    words = ["model.hidden=[8]", "model.kind=mlp", "data.batch_size=8", "data.source=synthetic"]
    assert ignored(load(None, [*words, "data.micro_batch_size=4"]), ("model", "data")) == [
        'data.source = "synthetic" (the script gives its own data)',
        'model.kind = "mlp" (the script gives its own model)',
        "model.hidden = [8] (the script gives its own model)",
    ]


def test_every_condition_names_a_setting_and_its_values() -> None:
    """``used_by`` is right: the setting is there and has these choices."""
    facts = {fact.name: fact for fact in settings()}
    conditions = {name: fact.rule.used_by for name, fact in facts.items() if fact.rule.used_by}
    assert len(conditions) > 30
    for name, (key, values) in conditions.items():
        decider = facts[facts[name].decider]
        assert key in (decider.key, decider.name), name
        assert set(values) <= set(decider.rule.choices), name
        assert values or not decider.rule.choices, name


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["optimizer.kind=adam", "optimizer.momentum=0.5", "data.noise=2"],
        ["mode.kind=ssp", "run.steps=7", "straggler.kind=pareto", "straggler.delay=[0, 1]"],
        ["checkpoint.enabled=false", "log.enabled=false", "checkpoint.every_steps=5"],
        [str(ROOT / "jobs" / "digits-ssp.toml"), "mode.bound=1"],
    ],
)
def test_config_prints_what_train_accepts_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """The same configuration, and the same is ignored; unused defaults are left out."""
    assert main(["config", *(words or ["run.seed=0"])]) == 0
    printed = capsys.readouterr()
    path = tmp_path / "run.toml"
    path.write_text(printed.out, encoding="utf-8")
    is_file = bool(words) and words[0].endswith(".toml")
    config = load(words[0] if is_file else None, words[is_file:])
    again = load(path)
    assert again == config
    assert ignored(again) == ignored(config)
    assert printed.err == "".join(f"mpitrain: ignored: {line}\n" for line in ignored(config))
    assert written(again) == printed.out
    assert "noise" not in printed.out or "data.noise=2" in words


def test_config_alone_prints_every_setting_as_a_run_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As printed nothing is set; with every line uncommented the defaults are."""
    assert main(["config"]) == 0
    text = capsys.readouterr().out
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert load(path) == Config()
    assert not load(path).given
    path.write_text(re.sub(r"^#(?=\w)", "", text, flags=re.MULTILINE))
    names = {fact.name for fact in settings()}
    assert load(path) == Config()
    assert load(path).given == names
    assert "# share of the velocity kept per step (momentum, nesterov); >= 0 and < 1" in text
    assert "[steps of all ranks]" in text


def test_mistake_in_config_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """As in train."""
    assert main(["config", "mode.bond=3"]) == 2
    printed = capsys.readouterr()
    assert printed.err == "mpitrain: error: unknown key 'mode.bond'; did you mean mode.bound\n"
    assert printed.out == ""


def test_stopping_with_a_checkpoint_needs_checkpoints() -> None:
    """A contradiction is refused, not ignored."""
    with pytest.raises(UserError, match=r"run\.limit_s needs checkpoint\.enabled = true"):
        load(None, ["run.limit_s=10", "checkpoint.enabled=false"])


def test_spoilt_run_file_is_a_mistake_or_a_plan() -> None:
    """Of 200 files none gives anything else, and both outcomes occur."""
    command = [sys.executable, "-m", "tests.unit.run_file_fuzzing", str(SEED), str(NUM_FILES)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert sum(found.values()) == NUM_FILES
    assert min(found["refused when read"], found["planned"]) > 5
