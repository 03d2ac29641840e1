"""Figures and evaluations as TensorBoard's event files; the one door to tensorboardX.

Its ``SummaryWriter`` hides errors in a thread, so events go to its plain writer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from mpitrain.core.errors import UserError


def check_tensorboard() -> None:
    """Check that event files can be made.

    Raises:
        UserError: the library is missing.
    """
    try:
        import tensorboardX.event_file_writer  # noqa: F401  # optional
    except ImportError as error:
        message = (
            f"log.tensorboard needs tensorboardX, which cannot be imported ({error}); "
            "pip install 'mpitrain[tensorboard]', or write log.tensorboard=false"
        )
        raise UserError(message) from error


class TensorboardSink:
    """Writes one event file for each life; what each call gives is in the file when it returns."""

    def __init__(self, root: Path, life: int, steps: int) -> None:
        """Make the event file.

        Args:
            root: the run directory.
            life: of the run.
            steps: that the life starts from: TensorBoard forgets later ones of the lives before.

        Raises:
            OSError: it cannot be written.
        """
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        self._event, self._scalar = Event, scalar
        self.path = root / "tensorboard"
        self.path.mkdir(exist_ok=True)
        self._file = EventsWriter(str(self.path / "events"), f".life-{life:03d}")
        if life:
            start = SessionLog(status=SessionLog.START)
            self._file.write_event(Event(wall_time=time.time(), step=steps, session_log=start))
        self._file.flush()

    def write(self, time_s: float, steps: int, samples: int, values: Mapping[str, float]) -> None:
        """Write one scalar for each value.

        Raises:
            OSError: the file cannot be written.
        """
        now_s = time.time()
        for name, value in values.items():
            summary = self._scalar(name, value)
            self._file.write_event(self._event(wall_time=now_s, step=steps, summary=summary))
        self._file.flush()

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: it cannot be written.
        """
        self._file.close()
