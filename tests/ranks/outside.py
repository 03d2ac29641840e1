"""The outside of a test on ranks: one mpiexec per MPI and number of ranks; a report per test.

Starting ranks takes longer than most tests, so tests of all files share a job.

When a test fails it takes its job down; the tests after it are started again without it, so every
test has a verdict of its own. A test without a verdict from every rank has failed, never passed.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.ranks.inside import CASE, LIMIT, RESULTS
from tests.ranks.launcher import run_ranks

TAIL = 6000  # characters of a job's output that a report shows


@dataclass
class Group:
    """The tests for one MPI and number of ranks.

    Attributes:
        mpi: "openmpi" or "mpich".
        ranks: number of ranks.
        tests: node ids, in order.
        limit_s: time for one test.
        verdicts: node id -> "" when passed on every rank, else what went wrong.
    """

    mpi: str
    ranks: int
    tests: list[str] = field(default_factory=list)
    limit_s: float = 0.0
    verdicts: dict[str, str] = field(default_factory=dict)

    def verdict(self, test: str) -> str:
        """Return what went wrong with ``test``, "" if nothing; runs the group when it has to."""
        while test not in self.verdicts:
            self._run([name for name in self.tests if name not in self.verdicts])
        return self.verdicts[test]

    def _run(self, tests: list[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="mpitrain-ranks-") as name:
            folder = Path(name)
            names = folder / "tests"
            names.write_text("\n".join(tests), encoding="utf-8")
            is_good, ending = self._start(folder, names)
            outcomes = [_read(folder / f"outcomes-{rank}") for rank in range(self.ranks)]
            stacks = self._stacks(folder)
        for test in tests:
            found = [of_rank.get(test) for of_rank in outcomes]
            if all(outcome == ("passed", "") for outcome in found):
                self.verdicts[test] = ""
                continue
            self.verdicts[test] = self._explain(found) or f"{ending}\n{stacks}"
            return  # what comes after it is started again
        if not is_good:  # every test passed, but then a rank crashed
            self.verdicts[tests[-1]] = f"after the last test {ending}\n{stacks}"

    def _start(self, folder: Path, names: Path) -> tuple[bool, str]:
        """Run the tests in ``names`` on ranks; return whether and how the job ended well."""
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"@{names}"]
        environ = {
            RESULTS: str(folder),
            CASE: f"{self.mpi}-{self.ranks}",
            LIMIT: str(self.limit_s),
        }
        try:
            ended = run_ranks(
                self.mpi,
                self.ranks,
                words,
                timeout=self.limit_s,
                environ=environ,
                progress=lambda: sum(path.stat().st_size for path in folder.glob("outcomes-*")),
            )
        except subprocess.TimeoutExpired as late:
            output = _tail(late.output, late.stderr)
            return False, f"the test took longer than {self.limit_s:g} s\n{output}"
        output = _tail(ended.stdout, ended.stderr)
        how = f"the job ended with exit code {ended.returncode}\n{output}"
        return ended.returncode == 0, how

    def _stacks(self, folder: Path) -> str:
        texts = []
        for rank in range(self.ranks):
            path = folder / f"stacks-{rank}"
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            if text:
                texts.append(f"stacks of rank {rank}:\n{text}")
        return "\n".join(texts)

    def _explain(self, found: list[tuple[str, str] | None]) -> str:
        bad = [
            f"rank {rank} of {self.ranks} {outcome[0]}:\n{outcome[1]}"
            for rank, outcome in enumerate(found)
            if outcome is not None and outcome[0] != "passed"
        ]
        return "\n".join(bad)


def _read(path: Path) -> dict[str, tuple[str, str]]:
    """Return the outcomes that one rank recorded; a line cut short by its end does not count."""
    outcomes: dict[str, tuple[str, str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        outcomes[record["test"]] = (record["outcome"], record["text"])
    return outcomes


def _tail(out: str | bytes | None, err: str | bytes | None) -> str:
    texts = [
        text.decode(errors="replace") if isinstance(text, bytes) else text or ""
        for text in (out, err)
    ]
    return "\n".join(text[-TAIL:] for text in texts)
