from __future__ import annotations

import csv
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mpitrain.core.errors import UserError
from mpitrain.modes.record import StepRecord
from mpitrain.running.csv_sink import COLUMNS, CsvSink
from mpitrain.running.figures import Figures
from mpitrain.running.recorder import Recorder, Sink
from mpitrain.running.tensorboard_sink import TensorboardSink, check_tensorboard
from mpitrain.running.totals import Totals


class Counting:
    """A mode that knows its steps."""

    steps_done = 0


class Failing:
    """A sink whose disk is full after some writes."""

    path = Path("numbers")

    def __init__(self, good: int) -> None:
        self.good = good
        self.written: list[Mapping[str, float]] = []

    def write(self, time_s: float, steps: int, samples: int, values: Mapping[str, float]) -> None:
        """Write, or fail."""
        if len(self.written) == self.good:
            raise OSError(28, "No space left on device")
        self.written.append(values)

    def close(self) -> None:
        """Fail too."""
        raise OSError(28, "No space left on device")


def train(recorder: Recorder, mode: Counting, steps: int) -> None:
    """Take steps of a second each; evaluate after the last."""
    totals = Totals()
    for step in range(steps):
        mode.steps_done += 2
        record = StepRecord(1)
        record.began_s, record.loss, record.num_samples, record.lead = step, 0.5, 8, 3
        totals.add(record, step + 1.0)
        recorder.after_step(record, totals)
    recorder.tell({"steps": mode.steps_done, "loss": 0.25, "accuracy": 0.75, "versions": [1]})


def recorder_of(makers: list[Any], mode: Counting, said: list[str], every_s: float = 2) -> Recorder:
    """Return a recorder of ``mode`` whose samples are eight a step."""
    figures = Figures(mode, mode.steps_done, 8, every_s)  # type: ignore[arg-type]
    return Recorder(
        makers, figures, lambda: mode.steps_done, lambda n: 8 * n, lambda: 1.5, said.append
    )


def test_csv_has_a_row_for_each_number_over_all_lives(tmp_path: Path) -> None:
    """One header; a row that a kill cut off does not spoil the next life's first one."""
    for life in range(2):
        mode, said = Counting(), list[str]()
        recorder = recorder_of([lambda life=life: CsvSink(tmp_path, life)], mode, said)
        train(recorder, mode, 3)
        written = (tmp_path / "metrics.csv").read_text()  # before it is closed
        recorder.close()
        recorder.close()
        assert not said
        assert (tmp_path / "metrics.csv").read_text() == written
        with (tmp_path / "metrics.csv").open("a") as file:
            file.write("0,1.5,4,")
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    whole = [row for row in rows[1:] if len(row) == len(COLUMNS)]
    expected = [
        ["4", "32", "train/samples_per_s", "16"],
        ["4", "32", "train/loss", "0.5"],
        ["4", "32", "train/staleness", "0"],
        ["4", "32", "train/lead", "3"],
        ["6", "48", "test/loss", "0.25"],
        ["6", "48", "test/accuracy", "0.75"],
    ]
    assert whole == [[str(life), "1.500", *row] for life in range(2) for row in expected]


def records(path: Path) -> Iterator[bytes]:
    """Return the records of a TensorFlow record file: length, its check, data, their check."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield data[12 : 12 + length]
        data = data[16 + length :]


def test_tensorboard_reads_the_numbers_back(tmp_path: Path) -> None:
    """A file for each life, complete before it is closed; a resumed life says from where."""
    from tensorboardX.proto.event_pb2 import Event

    for life, first in ((0, 0), (1, 4)):
        mode, said = Counting(), list[str]()
        mode.steps_done = first
        recorder = recorder_of([lambda: TensorboardSink(tmp_path, life, first)], mode, said)  # noqa: B023 # called at once
        train(recorder, mode, 3)
        (path,) = (tmp_path / "tensorboard").glob(f"events.out.tfevents.*.life-{life:03d}")
        events = [Event.FromString(data) for data in records(path)]
        recorder.close()
        assert not said
        assert events[0].file_version == "brain.Event:2"
        assert [event.step for event in events if event.HasField("session_log")] == [4] * life
        found = {
            (event.step, value.tag): value.simple_value
            for event in events
            for value in event.summary.value
        }
        assert found == {
            (first + 4, "train/samples_per_s"): 16.0,
            (first + 4, "train/loss"): 0.5,
            (first + 4, "train/staleness"): 0.0,
            (first + 4, "train/lead"): 3.0,
            (first + 6, "test/loss"): 0.25,
            (first + 6, "test/accuracy"): 0.75,
        }


def test_sink_that_fails_is_told_once_and_the_others_go_on() -> None:
    """Numbers are a convenience: training goes on without them."""
    mode, said, good, bad = Counting(), list[str](), Failing(99), Failing(1)

    def missing() -> Sink:
        raise PermissionError(13, "Permission denied", "place/metrics.csv")

    recorder = recorder_of([missing, lambda: good, lambda: bad], mode, said, every_s=1)
    train(recorder, mode, 5)
    assert (len(good.written), len(bad.written)) == (5, 1)
    reasons = {"place/metrics.csv": "permission denied", "numbers": "no space left on device"}
    assert said == [
        f"warning: {name} cannot be written: {reason}; training goes on without it"
        for name, reason in reasons.items()
    ]


def test_csv_on_a_full_disk_is_told_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is opened as when a row is written, and no file is left open."""
    path = tmp_path / "metrics.csv"
    path.symlink_to("/dev/full")
    line = f"warning: {path} cannot be written: no space left on device; training goes on without"
    mode, said = Counting(), list[str]()
    recorder_of([lambda: CsvSink(tmp_path, 0)], mode, said)
    monkeypatch.setattr("mpitrain.running.csv_sink._look", lambda _path: (False, False))
    train(recorder_of([lambda: CsvSink(tmp_path, 0)], mode, said), mode, 3)
    assert said == [f"{line} it"] * 2


def test_missing_library_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with the command."""
    check_tensorboard()
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    with pytest.raises(UserError, match=r"pip install 'mpitrain\[tensorboard\]'"):
        check_tensorboard()
