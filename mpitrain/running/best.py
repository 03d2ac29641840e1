"""The best metric so far, and when enough evaluations came without a better one: pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mpitrain.config import Config


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the evaluations so far have shown; what a checkpoint keeps of it.

    Attributes:
        is_larger_better: which metric is the best one.
        metric: the best one; None before the first.
        steps: of all ranks, where it was seen.
        mark: the metric that the next one is compared with, to count as better.
        num_without: evaluations since the mark was set.
        last_steps: of all ranks, at the newest evaluation.
        has_ended: the run ended because of it.
    """

    is_larger_better: bool = True
    metric: float | None = None
    steps: int = 0
    mark: float | None = None
    num_without: int = 0
    last_steps: int = 0
    has_ended: bool = False

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values by name; ``of`` takes them."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Seen:
        """Return what ``values`` came from; none at all is what no evaluation has shown.

        Raises:
            TypeError: a name or a value is none of its kind.
        """
        for name, value in values.items():
            kinds = KINDS.get(name, ())
            is_finite = not isinstance(value, float) or math.isfinite(value)
            if type(value) not in kinds or not is_finite:
                message = f"what evaluations have shown: {name} cannot be {value!r}"
                raise TypeError(message)
        return cls(**values)


KINDS: dict[str, tuple[type, ...]] = {
    "is_larger_better": (bool,),
    "metric": (float, int, type(None)),
    "steps": (int,),
    "mark": (float, int, type(None)),
    "num_without": (int,),
    "last_steps": (int,),
    "has_ended": (bool,),
}


@dataclass
class Best:
    """Remembers the best metric, and tells when the run may end: ``run.early_stop``.

    An evaluation is better when its metric beats that of the last better one by more than
    ``least``. Enough is told only when a step more was done than at the evaluation, so that in
    synchronous training all ranks can agree on it in that step's reduction, and end at the same
    step whatever else makes them meet.

    Attributes:
        limit: evaluations without a better metric after which a run ends; None never ends it.
        least: by how much a better metric is better, >= 0.
        seen: what the evaluations so far have shown.
    """

    limit: int | None = None
    least: float = 0.0
    seen: Seen = field(default_factory=Seen)

    @classmethod
    def of(cls, config: Config, earlier: Seen) -> Best:
        """Return what goes on from ``earlier``."""
        run, is_larger_better = config.run, config.checkpoint.best == "largest"
        seen = earlier
        if seen.is_larger_better != is_larger_better:
            seen = Seen(is_larger_better=is_larger_better)
        return cls(run.early_stop, run.early_stop_delta, seen)

    def look_at_end(self, steps: int, metric: float | None, every_steps: int | None) -> None:
        """Take note of the evaluation at a run's end, as one that goes on would have.

        One that a longer run would not have made may be the best, but is not counted.

        Args:
            steps: of all ranks.
            metric: on the test samples; None changes nothing.
            every_steps: ``run.evaluate_every``.
        """
        before = self.seen
        self.look(steps, metric)
        if not every_steps or steps < (before.last_steps // every_steps + 1) * every_steps:
            self.seen = replace(before, metric=self.seen.metric, steps=self.seen.steps)

    def begin_anew(self) -> None:
        """Count anew: the run had ended and goes on."""
        self.seen = replace(self.seen, num_without=0, has_ended=False)

    def look(self, steps: int, metric: float | None) -> None:
        """Take note of an evaluation; a metric that is no finite number is not better.

        Args:
            steps: of all ranks, where it was made.
            metric: on the test samples; None changes nothing.
        """
        if metric is None:
            return
        seen = self.seen
        if self._is_better(metric, seen.metric, 0.0):
            seen = replace(seen, metric=metric, steps=steps)
        if self._is_better(metric, seen.mark, self.least):
            seen = replace(seen, mark=metric, num_without=0)
        else:
            seen = replace(seen, num_without=seen.num_without + 1)
        self.seen = replace(seen, last_steps=steps)

    def is_enough(self, steps: int) -> bool:
        """Tell whether the run is to end after this many steps of all ranks."""
        seen = self.seen
        return self.limit is not None and seen.num_without >= self.limit and steps > seen.last_steps

    def end(self) -> None:
        """Take note that the run ends because of it."""
        self.seen = replace(self.seen, has_ended=True)

    def _is_better(self, metric: float, than: float | None, by: float) -> bool:
        if not math.isfinite(metric):
            return False
        if than is None:
            return True
        return metric > than + by if self.seen.is_larger_better else metric < than - by
