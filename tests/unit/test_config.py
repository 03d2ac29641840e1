"""The configuration: what is valid, what a mistake says, and that text comes back the same."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mpitrain.config import Config, Mode, changed, from_mapping, load, settings, to_toml
from mpitrain.core.errors import UserError

ROOT = Path(__file__).parents[2]


def message(*overrides: str, path: Path | None = None) -> str:
    """Return what a mistake says."""
    with pytest.raises(UserError) as caught:
        load(path, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_defaults_are_a_valid_configuration() -> None:
    """Everything is optional."""
    config = load()
    assert config == Config() == from_mapping({})
    assert (config.mode.kind, config.mode.bound) == ("bsp", None)
    assert (config.run.data_passes, config.run.steps) == (5.0, None)
    assert config.model.hidden == (64,)


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("mode.limit_s=20", ("mode", "limit_s"), 20.0),
        ("model.hidden=[256, 128]", ("model", "hidden"), (256, 128)),
        ("model.hidden=[]", ("model", "hidden"), ()),
        ("straggler.delay=[0.0, 1]", ("straggler", "delay"), (0.0, 1.0)),
        ("straggler.delay=2", ("straggler", "delay"), 2.0),
        ("log.enabled=false", ("log", "enabled"), False),
        ("run.name=plain words", ("run", "name"), "plain words"),
        ('run.name="quoted"', ("run", "name"), "quoted"),
        ("run.name=123", ("run", "name"), "123"),
        ("run.name=2024-01-01", ("run", "name"), "2024-01-01"),
        ("run.directory=runs/a=b", ("run", "directory"), "runs/a=b"),
        ("optimizer.clip=none", ("optimizer", "clip"), None),
        ("model.kind=my.models:make", ("model", "kind"), "my.models:make"),
    ],
)
def test_override_takes_toml_values_and_bare_words(
    override: str, name: tuple[str, str], value: object
) -> None:
    """A value has the type of its setting."""
    found = getattr(getattr(load(None, [override]), name[0]), name[1])
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("mode.bound=x", "mode.bound must be an integer >= 0, got 'x'"),
        ("mode.bound=-1", "mode.bound must be an integer >= 0, got -1"),
        ("run.seed=true", "run.seed must be an integer >= 0, got true"),
        ("run.steps=1.5", "run.steps must be an integer >= 1, got 1.5"),
        ("optimizer.rate=nan", "optimizer.rate must be a number > 0, got nan"),
        ("optimizer.beta1=1", "optimizer.beta1 must be a number >= 0 and < 1, got 1"),
        ("model.hidden=[8, 0]", "model.hidden must be a list of integers >= 1, got [8, 0]"),
        ("log.enabled=yes", "log.enabled must be true or false, got 'yes'"),
        ("log.flush_every_s=0.1", "log.flush_every_s must be a number >= 0.5 and <= 1e+09, got"),
        ("log.flush_every_s=1e300", "log.flush_every_s must be a number >= 0.5 and <= 1e+09, got"),
        ("straggler.delay=[1, 2e6]", "a list of numbers >= 0 and <= 1e+06, got [1, 2000000.0]"),
        ("mode.kind=sspp", "unknown mode 'sspp'; choose from: asp, bsp, ssp"),
        ("run.share=x", "unknown run.share 'x'; choose from: auto, equal, shared"),
        ("mode.bond=3", "unknown key 'mode.bond'; did you mean mode.bound"),
        ("moed.bound=3", "unknown table 'moed'; did you mean mode or model"),
        ("mode.limit_s=5", "mode.limit_s must be > mode.warn_s (10), got 5"),
        ("data.source=idx", "data.path must be given for data.source 'idx'"),
        ("straggler.delay=[]", "straggler.delay must be a number or a list of at least one"),
        ("straggler.slow_steps=200", "straggler.slow_steps must be <= straggler.period_steps"),
        ("run.early_stop=0", "run.early_stop must be an integer >= 1, got 0"),
        (
            "run.early_stop=3",
            "run.early_stop is 3 and run.evaluate_every is 0: without evaluations",
        ),
        ("data.micro_batch_size=0", "data.micro_batch_size must be an integer >= 1, got 0"),
        ("device.kind=tpu", "unknown device 'tpu'; choose from: auto, cpu, cuda"),
        ("device.memory_share=0", "device.memory_share must be a number > 0 and <= 1, got 0"),
        ("run.share=shared", "run.share 'shared' needs mode.kind ssp or asp"),
        ("mode.bound=3", "mode.bound must be left out unless mode.kind is ssp, got 3"),
        ("bound=3", "'bound=3' must have the form table.key=value"),
        ("mode.bound", "'mode.bound' must have the form table.key=value"),
        ("run.directory=\udcff", "run.directory must be a string, got '\\udcff'"),
        ("mode.bound=1\nx=2", "mode.bound must be an integer"),
    ],
)
def test_mistake_names_the_setting_and_what_is_allowed(override: str, said: str) -> None:
    """One line, parameter first."""
    assert said in message(override)


def test_unknown_key_lists_all_when_none_is_near() -> None:
    """Far from everything, all valid keys are named."""
    assert "choose from: adaptive_control, adaptive_decay, comp" in message("staleness.zzz=1")


def test_bound_is_three_in_ssp_and_refused_elsewhere() -> None:
    """Only ssp has a bound."""
    assert Mode(kind="ssp").bound == 3
    assert Mode(kind="ssp", bound=0).bound == 0
    assert "lets any rank lead" in message("mode.kind=asp", "mode.bound=3")
    assert load(None, ["mode.kind=asp", "mode.bound=none"]).mode.bound is None


def test_at_most_one_length() -> None:
    """Passes and steps exclude each other."""
    assert "give at most one" in message("run.steps=10", "run.data_passes=2")


def test_override_drops_what_it_makes_pointless_in_the_file(tmp_path: Path) -> None:
    """A file's data_passes gives way to steps; asp has no use for its bound."""
    path = tmp_path / "run.toml"
    path.write_text('run.data_passes = 2\nmode = {kind = "ssp", bound = 5}\n')
    assert load(path).mode.bound == 5
    assert load(path, ["run.steps=7"]).run.data_passes is None
    assert load(path, ["mode.kind=asp"]).mode.bound is None
    assert load(path, ["mode.kind=ssp"]).mode.bound == 5
    assert "mode.bound must be left out" in message("mode.kind=asp", "mode.bound=5", path=path)


def test_changed_replaces_values_by_dotted_name() -> None:
    """The way of the Python function."""
    config = changed(Config(), {"run.steps": 10, "mode.kind": "ssp", "model.hidden": [8]})
    assert (config.run.steps, config.run.data_passes) == (10, None)
    assert (config.mode.bound, config.model.hidden) == (3, (8,))
    with pytest.raises(UserError, match=r"unknown key 'mode\.bond'"):
        changed(Config(), {"mode.bond": 3})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mode\n", "is not valid TOML"),
        ("mode = 3\n", "mode must be a table, got 3"),
        ("[modes]\n", "unknown table 'modes'; did you mean mode"),
        ("[mode]\nbond = 1\n", "unknown key 'mode.bond'; did you mean mode.bound"),
        ("[run]\nname = [1]\n", "run.name must be a string, got [1]"),
    ],
)
def test_mistake_in_a_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    """Mistakes in files read as those in overrides."""
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert said in message(path=path)


@pytest.mark.parametrize("kind", ["override", "file"])
@pytest.mark.parametrize("name", ["run.seed", "optimizer.rate", "model.hidden", "run.name"])
@pytest.mark.parametrize(
    "value",
    ["9" * 400, "9" * 5000, f"0x{'f' * 5000}", "[" * 3000, f"{'[' * 200}{']' * 200}", "[0x1{}]"],
    ids=["400 digits", "5000 digits", "hexadecimal", "brackets", "levels", "inner"],
)
def test_number_or_list_beyond_reason_is_a_mistake(
    tmp_path: Path, value: str, name: str, kind: str
) -> None:
    """Python's own limits on digits and depth are no way out."""
    text = value.replace("{}", "0" * 5000)
    path = tmp_path / "run.toml"
    path.write_text(f"{name} = {text}\n")
    said = message(path=path) if kind == "file" else message(f"{name}={text}")
    assert len(said) < 400


def test_file_that_is_no_text_names_the_line(tmp_path: Path) -> None:
    """As TOML's own mistakes do, with the column."""
    path = tmp_path / "run.toml"
    path.write_bytes(b"[run]\nname = '\xff'\n")
    assert message(path=path).endswith("is not valid TOML: it is no UTF-8 text (at line 2)")
    path.write_bytes(b"[mode]\nkind = ssp\n")
    assert message(path=path).endswith("is not valid TOML: Invalid value (at line 2, column 8)")


def test_missing_file_is_named(tmp_path: Path) -> None:
    """No traceback for a file that is not there."""
    missing = tmp_path / "none.toml"
    assert message(path=missing) == f"cannot read run file {missing}: no such file or directory"


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["mode.kind=ssp", "run.steps=10", "optimizer.clip=1e-3"],
        ['data.train_x="quote \\" back \\\\ tab \\t del \\u007f ü"', "straggler.delay=[1, 2.5]"],
        ["straggler.ranks=[0, 3]", "log.enabled=false", "optimizer.rate=1e20"],
    ],
)
def test_written_configuration_reads_back_equal(tmp_path: Path, overrides: list[str]) -> None:
    """What run.toml holds is what was run."""
    config = load(None, overrides)
    path = tmp_path / "run.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert load(path) == config


def test_facts_about_the_environment_are_written_and_ignored(tmp_path: Path) -> None:
    """A written run file can be run again."""
    path = tmp_path / "run.toml"
    path.write_text(to_toml(Config(), environment={"cpu": "x", "hosts": ["a", "b"], "ranks": 4}))
    assert 'hosts = ["a", "b"]' in path.read_text()
    assert load(path) == Config()


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.toml")), ids=lambda p: p.name)
def test_run_files_are_valid(path: Path) -> None:
    """Those that come with the package."""
    load(path)


def test_every_setting_is_described() -> None:
    """A sentence each, and the default passes its own check."""
    facts = list(settings())
    assert len({fact.name for fact in facts}) == len(facts) > 50
    assert all(fact.rule.help for fact in facts)


def test_no_time_is_longer_than_the_system_can_wait() -> None:
    """Whatever waits for it: a wait without end is a failure after the run has begun."""
    times = [fact for fact in settings() if fact.rule.unit == "seconds"]
    assert {fact.name for fact in times} == {
        *("run.progress_every_s", "run.limit_s", "run.stop_before_limit_s"),
        *("mode.warn_s", "mode.limit_s", "checkpoint.every_s", "log.flush_every_s"),
        *("simulate.compute_s", "simulate.latency_s", "simulate.service_s", "simulate.overhead_s"),
    }
    for fact in times:
        assert not fact.rule.allows(threading.TIMEOUT_MAX), fact.name


NAMES = """
import mpi4py
mpi4py.rc.initialize = False
import json
from mpitrain import names
from mpitrain.comm.reduction import REDUCTIONS
from mpitrain.schedules.stragglers import DRAWS
print(json.dumps({
    "model.kind": sorted(names.MODELS),
    "optimizer.kind": sorted(names.OPTIMIZERS),
    "data.source": sorted(names.SOURCES),
    "mode.reduction": sorted(REDUCTIONS),
    "straggler.kind": sorted([*DRAWS, "none"]),
    "staleness.factor": sorted(names.FACTORS),
    "staleness.compensation": sorted(names.COMPENSATIONS),
}))
"""


def test_names_are_those_that_can_be_built() -> None:
    """The choices of a setting and the objects behind them are the same."""
    ended = subprocess.run(
        [sys.executable, "-c", NAMES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    choices = {fact.name: sorted(fact.rule.choices) for fact in settings()}
    for name, built in json.loads(ended.stdout).items():
        assert choices[name] == built, name


def test_configuration_cannot_be_changed() -> None:
    """It is a value."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().run.seed = 1  # type: ignore[misc]
