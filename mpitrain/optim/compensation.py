"""What a correction of stale gradients is: formulas at three places of an update.

    predict   after a read: the parameters that the gradient is computed from may be moved
    correct   the clipped mean gradient is changed before the optimiser sees it; inside the shard's
              write section where the present parameters are needed, else on the whole vector before
    learn     when the shard's change is known, as it is added

They are run by ``optim.fused``, element by element, so the bits do not depend on the cut.
"""

from __future__ import annotations

from typing import ClassVar


class Compensation:
    """Does nothing at all three places; the others override what they need.

    The formulas are lines as in ``kernels.program``. Their names are the vectors ``gradient``,
    ``parameters`` (those that the gradient was computed from), ``present`` (those that it will be
    applied to), ``change``, those of the state, and the scalars, whose names are none of an
    optimiser's.

    Attributes:
        state_names: of the vectors (n,) it keeps, zeros at first; they are saved and averaged as
            the optimiser's are.
        needs_present: ``correct`` needs the present parameters.
        needs_read: it needs a copy of the parameters that were read, or changes them.
        predict: assigns ``parameters``; empty where nothing is done.
        learn: assigns the state; empty where nothing is done.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    needs_present: ClassVar[bool] = False
    needs_read: ClassVar[bool] = False
    predict: ClassVar[str] = ""
    learn: ClassVar[str] = ""

    @property
    def correct(self) -> str:
        """Formula that assigns ``gradient``; empty where nothing is done."""
        return ""

    def scalars(self, tau: int, clock: int) -> dict[str, float]:
        """Return the values of the formulas' other names.

        Args:
            tau: staleness of the shard's update; 0 without ``needs_present``, but for ``learn``.
            clock: updates made before with this state.
        """
        return {}
