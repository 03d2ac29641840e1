"""The ``#SBATCH`` lines of a job script: what they say, and putting others in their place. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mpitrain.core.errors import UserError
from mpitrain.slurm import duration_s

_LINE = re.compile(r"(?P<off>#?)#SBATCH\s+(?P<text>\S.*)")
_PLAIN = re.compile(r"[^\s\"'\\#]+")
_SHORT = {
    "-A": "--account",
    "-C": "--constraint",
    "-D": "--chdir",
    "-G": "--gpus",
    "-J": "--job-name",
    "-L": "--licenses",
    "-N": "--nodes",
    "-a": "--array",
    "-c": "--cpus-per-task",
    "-d": "--dependency",
    "-e": "--error",
    "-n": "--ntasks",
    "-o": "--output",
    "-p": "--partition",
    "-q": "--qos",
    "-t": "--time",
    "-W": "--wait",
    "-w": "--nodelist",
    "-x": "--exclude",
}


@dataclass(frozen=True)
class Option:
    """An option of ``sbatch``.

    Attributes:
        name: the long one, for example "--nodes"; a short one where that has no long one here.
        value: empty where it takes none.
    """

    name: str
    value: str = ""

    @property
    def word(self) -> str:
        """The option as a word of a command line."""
        if not self.value:
            return self.name
        return f"{self.name}={self.value}" if self.name.startswith("--") else self.name + self.value

    @property
    def line(self) -> str:
        """The option as a line of a script.

        Slurm's own rules: white space and ``#`` end a word, quotes hold it together, and a
        backslash takes the next character as it is, in quotes of both kinds.
        """
        word = self.word
        if not _PLAIN.fullmatch(word):
            value = self.value.replace("\\", "\\\\").replace('"', '\\"')
            word = f'{self.name}="{value}"'
        return f"#SBATCH {word}"


def option_of(text: str) -> Option:
    """Return the option that a word says: ``--name=value``, ``--name value``, ``-N4``, ``-N 4``.

    Raises:
        UserError: it is no option, or its value has more than one line.
    """
    if not re.match(r"--[a-z]|-[A-Za-z]", text) or not text.isprintable():
        message = f"an option of sbatch begins with '-' and is one line, got {text[:80]!r}"
        raise UserError(message)
    if text.startswith("--"):
        name, _, value = re.sub(r"[=\s]\s*", "=", text, count=1).partition("=")
    else:
        name, value = text[:2], text[2:].lstrip()
    return Option(_SHORT.get(name, name), value)


def options_in(script: str) -> dict[str, str]:
    """Return the options that a script's header sets, by name; the last one of a name counts."""
    found = (_option_in(line) for line in _header(script))
    return {option.name: option.value for is_on, option in filter(None, found) if is_on}


def with_options(script: str, options: Sequence[Option]) -> str:
    """Return a script whose header says these options.

    Each takes the place of the line that says another value, or of one that is commented out by a
    second ``#``; the others follow the last line of the header that says something.
    """
    lines = script.splitlines()
    size = sum(1 for _ in _header(script))
    for option in options:
        place = _place_of(option.name, lines[:size])
        if place is None:
            set_lines = [n for n, line in enumerate(lines[:size]) if line.startswith("#SBATCH")]
            lines.insert(max(set_lines, default=0) + 1, option.line)
            size += 1
        else:
            lines[place] = option.line
    return "\n".join(lines) + "\n"


def num_ranks(options: dict[str, str]) -> tuple[str, int | None]:
    """Return the nodes that a header asks for, and the ranks; None where these are Slurm's choice.

    Args:
        options: by name.
    """
    nodes = options.get("--nodes", "1")
    if options.get("--ntasks", "").isdecimal():
        return nodes, int(options["--ntasks"])
    per_node = options.get("--ntasks-per-node", "1")
    is_known = nodes.isdecimal() and per_node.isdecimal()
    return nodes, int(nodes) * int(per_node) if is_known else None


def limit_s(text: str) -> float | None:
    """Return the seconds of a time limit as ``sbatch`` takes it, None where it is none.

    Minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes or
    days-hours:minutes:seconds.
    """
    if not re.fullmatch(r"\d{1,6}(-\d{1,6}(:\d{1,6}){0,2}|(:\d{1,6}){0,2})", text, re.ASCII):
        return None
    if "-" in text:
        return duration_s(text + ":00" * (2 - text.count(":")))
    return duration_s(text if ":" in text else f"{text}:00")


def signal_lead_s(options: dict[str, str]) -> float:
    """Return how long before the time limit the header's signal comes, 0 without one."""
    seconds = options.get("--signal", "").partition("@")[2]
    return float(seconds) if seconds.isdecimal() else 0.0


def _place_of(name: str, lines: Sequence[str]) -> int | None:
    found = [(n, _option_in(line)) for n, line in enumerate(lines)]
    places = [(said[0], n) for n, said in found if said is not None and said[1].name == name]
    return max(places)[1] if places else None  # one that counts before one that is commented out


def _option_in(line: str) -> tuple[bool, Option] | None:
    """Return whether a line counts, and its option; None where it is no such line."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    try:
        words = shlex.split(found["text"], comments=True)
        return not found["off"], option_of(" ".join(words))
    except ValueError:  # UserError is one
        return None


def _header(script: str) -> Iterator[str]:
    """Yield the lines that sbatch reads: up to the first one that is a command."""
    for line in script.splitlines():
        if line.strip() and not line.startswith("#"):
            return
        yield line
