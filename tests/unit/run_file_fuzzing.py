"""Run files that are spoilt in all ways: prints how each was taken, as one JSON object.

A process of its own: planning a run loads the MPI library, which must not start.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path

import mpi4py

mpi4py.rc.initialize = False

from mpitrain.config import ignored, load, to_toml  # noqa: E402
from mpitrain.core.errors import UserError  # noqa: E402
from mpitrain.plan import make_plan  # noqa: E402

MOST_MEMORY_BYTES = 4 << 30
MOST_SAMPLES = 1 << 20  # a million samples are no mistake, but take a while
BASE = [
    "data.source=synthetic",
    *("data.num_samples=64", "data.num_test=16", "data.num_features=4"),
    *("mode.kind=ssp", "optimizer.kind=adam", "run.steps=8"),
    *("straggler.kind=pareto", "straggler.delay=0.001", "checkpoint.keep_best=1"),
]
VALUES = [
    *(
        "1",
        "2",
        "8",
        "0.5",
        "1000",
        "0",
        "-1",
        "9" * 30,
        "1e308",
        "-1e308",
        "nan",
        "inf",
        "1.5",
        "true",
        '""',
        '"x"',
        "[]",
    ),
    *("[1, 2]", "[[1]]", "{}", "{a = 1}", "1979-05-27", '"ü☃\\u0000"', '"none"', "'''a\nb'''"),
    *('"' + "y" * 10_000 + '"', '"a:b"', '":"', '"os:getcwd"', "2147483648", "0x7fffffffffffffff"),
]
CHARACTERS = "\x00\x7f\n\"'[]{}=.,#:\\ 09aZüß☃\ufeff\U0001f600"


def mutated(text: str, rng: random.Random) -> str:
    """Return the text with one or two things wrong."""
    for _ in range(rng.randint(1, 2)):
        text = rng.choice([_character, _line, _line, _value, _value, _value, _key])(text, rng)
    return text


def _character(text: str, rng: random.Random) -> str:
    place = rng.randrange(len(text) + 1)
    kind = rng.randrange(3)
    new = rng.choice(CHARACTERS) if kind else ""
    return text[:place] + new + text[place + (kind != 1) :]


def _line(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True) or ["\n"]
    place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(3)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(other, lines[place])
    else:
        lines[place], lines[other] = lines[other], lines[place]
    return "".join(lines)


def _value(text: str, rng: random.Random) -> str:
    lines = text.splitlines()
    keys = [number for number, line in enumerate(lines) if "=" in line]
    if keys:
        number = rng.choice(keys)
        lines[number] = f"{lines[number].partition('=')[0]}= {rng.choice(VALUES)}"
    return "\n".join(lines) + "\n"


def _key(text: str, rng: random.Random) -> str:
    lines = text.splitlines() or [""]
    number = rng.randrange(len(lines))
    lines[number] = rng.choice("xK_.") + lines[number]
    return "\n".join(lines) + "\n"


def outcome(path: Path) -> str:
    """Return "planned" or the kind of mistake; anything but a UserError is a bug and goes on."""
    try:
        config = load(path)
    except UserError as error:
        return f"refused when read{' in lines' * str(error).count(chr(10))}"
    assert load_again(config, path) == config
    ignored(config)
    if config.data.num_samples > MOST_SAMPLES:
        return "not tried"
    try:
        make_plan(config, 1)
    except UserError:
        return "refused when planned"
    return "planned"


def load_again(config: object, path: Path) -> object:
    """Return what the written configuration is read as."""
    again = path.with_name("again.toml")
    again.write_text(to_toml(config), encoding="utf-8")  # type: ignore[arg-type]
    return load(again)


def main(seed: int, count: int) -> None:
    """Try ``count`` files."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    rng = random.Random(seed)
    base = to_toml(load(None, BASE))
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.toml"
        for number in range(count):
            path.write_text(mutated(base, rng), encoding="utf-8")
            try:
                found[outcome(path)] += 1
            except BaseException:
                sys.stderr.write(f"file {number} of seed {seed}:\n{path.read_text()}\n")
                raise
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
