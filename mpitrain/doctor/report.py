"""What the examination tells the process that started it, line by line, through a pipe.

The examination may die at any moment, so each finding is sent as soon as it is known, and each
dangerous stage is announced before it begins.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable

from mpitrain.doctor.finding import WRONG, Finding, worst, wrong


@dataclasses.dataclass(frozen=True)
class Stage:
    """Something that may hang or kill the process.

    Attributes:
        name: of the finding, if it does.
        doing: for the sentence "died while ...", for example "starting MPI".
        remedy: what to do if it does.
    """

    name: str
    doing: str
    remedy: str


@dataclasses.dataclass(frozen=True)
class End:
    """The last word: the worst state over all ranks."""

    state: str


FIRST = Stage("doctor", "looking at this process", "see the lines on standard error")
MEETING = "ranks"  # name of the stage in which the ranks come together
Message = Stage | Finding | End
_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in (Stage, Finding, End)}


class Reporter:
    """The sending end.

    Attributes:
        findings: told so far.
    """

    def __init__(self, descriptor: int) -> None:
        self.findings: list[Finding] = []
        self._descriptor = descriptor
        self._stage = FIRST

    def stage(self, name: str, doing: str, remedy: str) -> None:
        """Announce what comes next."""
        self._stage = Stage(name, doing, remedy)
        self._send(self._stage)

    def fail(self, reason: str) -> None:
        """Say that the stage went wrong, and that it is the end."""
        stage = self._stage
        self.tell([wrong(stage.name, f"{reason}, while {stage.doing}", stage.remedy)])
        self.end(WRONG)

    def tell(self, findings: Iterable[Finding]) -> None:
        """Send findings."""
        for finding in findings:
            self.findings.append(finding)
            self._send(finding)

    @property
    def state(self) -> str:
        """The worst that was told."""
        return worst(self.findings)

    def end(self, state: str) -> None:
        """Say that all is told."""
        self._send(End(state))

    def _send(self, message: Message) -> None:
        line = json.dumps({"kind": type(message).__name__, **dataclasses.asdict(message)}) + "\n"
        os.write(self._descriptor, line.encode())


def parsed(line: str) -> Message:
    """Return the message that a line holds."""
    fields = json.loads(line)
    return _KINDS[fields.pop("kind")](**fields)
