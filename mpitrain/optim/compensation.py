"""What a correction of stale gradients offers: elementwise, all memory the caller's.

One update of a rank, as far as corrections are concerned:

    predict   after a read: the parameters that the gradient is computed from may be moved
    correct   the clipped mean gradient is changed before the optimiser sees it; inside the shard's
              write section where the present parameters are needed, else on the whole vector before
    learn     when the shard's change is known, as it is added
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mpitrain.core.arrays import Array


class Compensation:
    """Does nothing at all three places; the others override what they need.

    Every operation is elementwise, so the bits are the same whether it is applied to the whole
    vector or to its shards one after the other.

    Attributes:
        state_names: of the vectors (n,) it keeps, zeros at first; they are saved and averaged as
            the optimiser's are.
        needs_present: ``correct`` needs the present parameters.
        needs_read: it needs a copy of the parameters that were read, or changes them.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    needs_present: ClassVar[bool] = False
    needs_read: ClassVar[bool] = False

    def predict(self, parameters: Array, state: Mapping[str, Array]) -> None:
        """Move the parameters that were just read.

        Args:
            parameters: (m,), changed in place.
            state: (m,) each.
        """

    def correct(
        self,
        gradient: Array,
        read: Array,
        present: Array | None,
        tau: int,
        state: Mapping[str, Array],
        clock: int,
        scratch: tuple[Array, Array],
    ) -> None:
        """Correct a gradient.

        Args:
            gradient: (m,), the clipped mean gradient, changed in place.
            read: (m,), parameters that it was computed from, unchanged.
            present: (m,), those that it will be applied to, unchanged; None without
                ``needs_present``.
            tau: staleness of the shard's update; 0 without ``needs_present``.
            state: (m,) each.
            clock: updates made before with this state.
            scratch: two of (m,), overwritten.
        """

    def learn(
        self, change: Array, tau: int, state: Mapping[str, Array], clock: int, scratch: Array
    ) -> None:
        """Take note of what is added to the parameters.

        Args:
            change: (m,), unchanged.
            tau: staleness of the shard's update.
            state: (m,) each.
            clock: updates made before with this state.
            scratch: (m,), overwritten.
        """
