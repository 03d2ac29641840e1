"""#SBATCH lines are read as sbatch reads them, and replaced one by one."""

from __future__ import annotations

import pytest

from mpitrain.batch.header import (
    Option,
    limit_s,
    num_ranks,
    option_of,
    options_in,
    signal_lead_s,
    with_options,
)
from mpitrain.core.errors import UserError

SCRIPT = """\
#!/bin/bash
# what it does
#SBATCH --job-name=x  # a remark
#SBATCH -N 2
##SBATCH --gpus-per-task=1

echo begins
#SBATCH --time=5
"""


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("--nodes=4", "--nodes", "4"),
        ("--nodes 4", "--nodes", "4"),
        ("-N4", "--nodes", "4"),
        ("-N 4", "--nodes", "4"),
        ("--exclusive", "--exclusive", ""),
        ("-H", "-H", ""),
        ("--comment=a=b c", "--comment", "a=b c"),
        ("--export=A=1,B", "--export", "A=1,B"),
    ],
)
def test_options_are_read_in_every_form(text: str, name: str, value: str) -> None:
    """Long and short, with white space or without."""
    assert option_of(text) == Option(name, value)


@pytest.mark.parametrize("text", ["", "-", "--", "nodes=4", "--a\n#SBATCH --b", "-1", "ä"])
def test_what_is_no_option_is_refused(text: str) -> None:
    """A second line would become an option of its own."""
    with pytest.raises(UserError, match="an option of sbatch begins with '-'"):
        option_of(text)


@pytest.mark.parametrize(
    ("option", "line"),
    [
        (Option("--constraint", "[a|b]&c"), "#SBATCH --constraint=[a|b]&c"),
        (Option("--exclusive"), "#SBATCH --exclusive"),
        (Option("-H"), "#SBATCH -H"),
        (Option("--comment", "a #b"), '#SBATCH --comment="a #b"'),
        (Option("--comment", "it's"), '#SBATCH --comment="it\'s"'),
        (Option("--comment", 'a"b\\'), '#SBATCH --comment="a\\"b\\\\"'),
    ],
)
def test_lines_are_quoted_as_slurm_reads_them(option: Option, line: str) -> None:
    """In double quotes, with a backslash before quotes and backslashes; read back the same."""
    assert option.line == line
    assert options_in(line) == {option.name: option.value}


def test_only_the_header_counts() -> None:
    """Neither what is commented out nor what follows a command."""
    assert options_in(SCRIPT) == {"--job-name": "x", "--nodes": "2"}


def test_the_last_line_of_a_name_counts_and_is_replaced() -> None:
    """As sbatch has it."""
    twice = "#!/bin/sh\n#SBATCH --nodes=1\n#SBATCH -N 2\ntrue\n"
    assert options_in(twice) == {"--nodes": "2"}
    assert options_in(with_options(twice, [Option("--nodes", "3")])) == {"--nodes": "3"}


def test_options_take_the_place_of_their_lines() -> None:
    """Also of one that is commented out; a new one follows the last line, the rest stays."""
    options = [Option("--nodes", "4"), Option("--gpus-per-task", "2"), Option("--qos", "high")]
    lines = with_options(SCRIPT, options).splitlines()
    assert lines == [
        "#!/bin/bash",
        "# what it does",
        "#SBATCH --job-name=x  # a remark",
        "#SBATCH --nodes=4",
        "#SBATCH --gpus-per-task=2",
        "#SBATCH --qos=high",
        "",
        "echo begins",
        "#SBATCH --time=5",
    ]


def test_options_follow_the_first_line_where_the_header_says_nothing() -> None:
    """The interpreter's line stays first."""
    made = with_options("#!/bin/sh\necho\n", [Option("--nodes", "4")])
    assert made == "#!/bin/sh\n#SBATCH --nodes=4\necho\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("1", 1)),
        ({"--nodes": "3", "--ntasks-per-node": "4"}, ("3", 12)),
        ({"--nodes": "3", "--ntasks": "5", "--ntasks-per-node": "2"}, ("3", 5)),
        ({"--nodes": "2-4", "--ntasks-per-node": "2"}, ("2-4", None)),
    ],
)
def test_ranks_are_counted_where_that_is_possible(
    options: dict[str, str], expected: tuple[str, int | None]
) -> None:
    """A range of nodes leaves it to Slurm."""
    assert num_ranks(options) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("2:00:00", 7200),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("1-12:30:15", 131415),
        ("0", 0),
        ("", None),
        ("1:2:3:4", None),
        ("1-2:3:4:5", None),
        ("-5", None),
        ("2h", None),
        ("soon", None),
        ("٣", None),
    ],
)
def test_time_limits_as_sbatch_takes_them(text: str, seconds: float | None) -> None:
    """A bare number is minutes, and hours behind days."""
    assert limit_s(text) == seconds


def test_lead_of_the_signal() -> None:
    """0 where no signal comes, or none at a time of its own."""
    assert signal_lead_s({"--signal": "B:USR1@120"}) == 120
    assert signal_lead_s({"--signal": "USR1"}) == 0
    assert signal_lead_s({}) == 0
