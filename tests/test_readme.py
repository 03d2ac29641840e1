"""The README keeps its word: its commands and scripts run, its settings and files exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

import mpitrain
from mpitrain import config
from mpitrain.storage.schema import step_columns
from tests.ranks.launcher import run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = Path(sys.executable).parent
LIMIT_S = 120  # for one command

NOT_RUN = {
    "make run": "installs from the network; its rule is parsed below, its summary command runs",
    "make test": "is what runs this test; its rule is parsed below",
    "srun ": "needs Slurm; the same words run under mpirun",
    "sbatch ": "needs Slurm; tests/slurm runs the templates",
    "jobs/chain.sh ": "needs Slurm; tests/slurm runs it",
    "missing=$(": "ends in sbatch; tests/slurm asks for the missing cells",
    ".venv/bin/python -m mpitrain submit jobs/": "needs Slurm; with --dry-run it runs",
    ".venv/bin/python -m pip install ": "needs the network; tests install what is named there",
    ".venv/bin/python -m mpitrain launch -n 2 bench ": "measures for minutes; its name is checked",
    ".venv/bin/python -m mpitrain launch -n 4 bench ": "measures for minutes; its name is checked",
    ".venv/bin/python -m mpitrain bench ": "measures for minutes; its name is checked",
}
"""How commands begin that are not run here, and why."""

EXIT_CODE = re.compile(r"exit code (\d)$")
TABLES = "|".join(sorted(config.to_mapping(config.Config())))
KEY = re.compile(rf"(?<![\w./])({TABLES})\.([a-z]\w*)(?![\w(/])")
FILE_ENDINGS = {"toml", "json", "h5", "now", "py"}
FOLDER = re.compile(r"(?<![\w./])((?:mpitrain|jobs|tools|tests|\.ci)/[\w./-]+)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and its lines."""

    language: str
    text: str


BLOCKS = [
    Block(language, text)
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
]


def commands_of(block: Block) -> list[tuple[str, int]]:
    """Return the commands of a shell block, each with the exit code that a comment promises."""
    found, code = [], 0
    for line in block.text.splitlines():
        if line.startswith("#"):
            said = EXIT_CODE.search(line)
            code = int(said[1]) if said else 0
        elif line.strip():
            found.append((line.partition("  #")[0].strip(), code))
            code = 0
    return found


def scripts_of(block: Block) -> list[tuple[str, int]]:
    """Return how a block is run; a Python block that names a file is in that file."""
    if block.language == "python" and not block.text.startswith("# "):
        return [(f".venv/bin/python -c {shlex.quote(block.text)}", 0)]
    return commands_of(block) if block.language == "sh" else []


COMMANDS = [command for block in BLOCKS for command in scripts_of(block)]


def reason_against(command: str) -> str | None:
    """Return why a command is not run, None for one that is."""
    reasons = [reason for start, reason in NOT_RUN.items() if command.startswith(start)]
    return reasons[0] if reasons else None


def test_commands_run_in_order(tmp_path: Path) -> None:
    """Pasted one after the other, each ends as the README says, and writes only below runs/."""
    for name in ("jobs", "tools"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    before = files_below(tmp_path)
    variables = {"HOME": str(tmp_path / "runs"), "PYTHONDONTWRITEBYTECODE": "1"}
    for command, code in COMMANDS:
        if reason_against(command) is None:
            words = command.replace(".venv/bin/", f"{ENVIRONMENT}/")
            done = run(
                ["bash", "-c", words],
                cwd=tmp_path,
                timeout=LIMIT_S,
                environ=os.environ | variables,
            )
            assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, f"{command}\n{done.stderr}"
    written = files_below(tmp_path) - before
    assert {path.split("/")[0] for path in written} == {"runs"}
    assert "runs/staleness.svg" in written
    check_results(tmp_path / "runs")


def test_no_command_hides_from_the_test() -> None:
    """Every fenced block is read, and of a language that is run or checked here."""
    assert len(re.findall(r"^\s*```", README, re.MULTILINE)) == 2 * len(BLOCKS)
    assert {block.language for block in BLOCKS} == {"python", "sh", "text", "toml"}
    shown = "".join(block.text for block in BLOCKS if block.language == "text")
    assert not re.findall(r"^(?:\$ |\.venv/|make |mpirun |srun ).*", shown, re.MULTILINE)


def check_results(runs: Path) -> None:
    """Check that what the README's runs are said to be, and to leave, is what they are."""
    wanted = {"first": ("ssp", 4), "long": ("ssp", 2), "late-bsp": ("bsp", 4)}
    for name, said in wanted.items():
        result = json.loads((runs / name / "result.json").read_text(encoding="utf-8"))
        assert (result["mode"], result["ranks"]) == said, name
        assert names_in_table("key") == set(result)
    left = next(block.text for block in BLOCKS if block.text.startswith("runs/NAME-TIME/"))
    names = set(re.findall(r"[\w-]+\.(?:toml|json|h5|now)\b", left))
    assert len(names) > 6
    assert not names - {path.name for path in (runs / "long").rglob("*")}


def names_in_table(heading: str) -> set[str]:
    """Return the names in the first column of the table whose first heading is ``heading``."""
    table = README.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines()[2:]]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_columns_are_those_of_the_log() -> None:
    """The table of columns names each one that a staleness log has."""
    assert names_in_table("column") == set(step_columns(per_shard=True))


def files_below(folder: Path) -> set[str]:
    """Return the files below a folder, as paths from there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_every_reason_not_to_run_is_needed() -> None:
    """The list of commands that are not run names only commands of the README."""
    for start in NOT_RUN:
        assert any(command.startswith(start) for command, _ in COMMANDS), start


@pytest.mark.parametrize("target", ["run", "test"])
def test_make_knows_its_two_commands(target: str) -> None:
    """Each is in the README, and make finds a rule for it and for all it needs."""
    assert f"make {target}" in {command for command, _ in COMMANDS}
    done = subprocess.run(
        ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_benches_are_named_as_they_are() -> None:
    """Every measurement of the README exists, and the README has all of them."""
    from mpitrain.bench.command import BENCHES

    named = [command.split()[-1] for command, _ in COMMANDS if " bench " in command]
    assert sorted(named) == sorted(BENCHES)


def test_run_files_are_valid() -> None:
    """Every TOML block is a configuration."""
    blocks = [block.text for block in BLOCKS if block.language == "toml"]
    assert blocks
    for text in blocks:
        config.from_mapping(tomllib.loads(text))


def test_scripts_are_the_files_they_name() -> None:
    """A Python block that begins with a file's name is that file, without its docstring."""
    named = [block.text for block in BLOCKS if block.text.startswith("# ")]
    shown = [text for text in named if text.partition("\n")[0].endswith(".py")]
    assert shown
    for text in shown:
        name, _, code = text.removeprefix("# ").partition("\n")
        script = (ROOT / name).read_text(encoding="utf-8")
        assert code.strip() == script.split('"""\n', 1)[1].strip()


def test_keys_exist() -> None:
    """Every ``table.key`` outside of Python code is a setting."""
    text = re.sub(r"^```python\n.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    named = {f"{table}.{key}" for table, key in KEY.findall(text) if key not in FILE_ENDINGS}
    assert len(named) > 20
    assert not named - {fact.name for fact in config.settings()}


def test_public_names_exist() -> None:
    """Every ``mpitrain.name`` is public, or a folder of modules of which one is run."""
    named = set(re.findall(r"(?<![\w/-])mpitrain\.([A-Za-z]\w*)", README))
    public = named & set(mpitrain.__all__)
    assert len(public) >= 4
    assert not {name for name in named - public if not (ROOT / "mpitrain" / name).is_dir()}


def test_files_exist() -> None:
    """Every path into the checkout, and every link that is not to a heading, leads to a file."""
    named = {name.rstrip(".") for name in FOLDER.findall(README)}
    named |= {name for name in re.findall(r"\]\(([^)]+)\)", README) if not name.startswith("#")}
    assert len(named) > 5
    assert not {name for name in named if not (ROOT / name).exists()}


def test_links_lead_to_headings() -> None:
    """Every link within the README has its heading."""
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    places = {re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in headings}
    assert not set(re.findall(r"\]\(#([^)]+)\)", README)) - places
