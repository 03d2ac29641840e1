from __future__ import annotations

import json

import pytest

from mpitrain.doctor.finding import as_json, ok, summary, warning, worst, wrong

FINDINGS = [ok("a", "fine"), warning("b", "slow", "hurry"), wrong("c", "bad\nworse", "mend\n it")]


def test_finding_is_one_line_with_value_and_remedy() -> None:
    """State, name, value and remedy are on one line, whatever they hold."""
    lines = [finding.line() for finding in FINDINGS]
    assert lines[0].split() == ["ok", "a", "fine"]
    assert lines[1].endswith("slow -> hurry")
    assert lines[2].endswith("bad worse -> mend it")
    assert not any("\n" in line for line in lines)


def test_report_is_as_bad_as_its_worst_finding() -> None:
    """One wrong line makes the whole wrong; a warning alone does not."""
    assert [worst(FINDINGS[:number]) for number in range(4)] == ["ok", "ok", "warning", "wrong"]
    assert summary(FINDINGS) == "1 ok, 1 warning, 1 wrong"


def test_json_holds_every_finding() -> None:
    """The object has what the lines have."""
    report = json.loads(json.dumps(as_json(FINDINGS)))
    assert report["state"] == "wrong"
    assert report["findings"][1] == {
        "name": "b",
        "state": "warning",
        "value": "slow",
        "remedy": "hurry",
    }


def test_finding_that_is_not_ok_needs_a_remedy() -> None:
    """Nobody can report trouble without saying what to do."""
    with pytest.raises(AssertionError):
        wrong("a", "bad", "")
