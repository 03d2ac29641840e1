"""What is to be trained, built from a configuration: whose mistake is whose."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.config import load
from mpitrain.core.errors import UserError
from mpitrain.data.source import ArraySource
from mpitrain.plan import make_plan


class Broken(ArraySource):
    """Data whose own code is wrong."""

    @property
    def block(self) -> int:  # type: ignore[override]
        """Fail once the data are in use."""
        message = "a bug of the user's"
        raise ValueError(message)


@pytest.mark.ranks(1)
def test_only_what_is_too_large_is_told_to_be_smaller(comm: MPI.Intracomm) -> None:
    """NumPy says ValueError of such sizes; that of the user's own code keeps its traceback."""
    x, y = np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1])
    source = Broken(x, y, x, y)
    with pytest.raises(ValueError, match="a bug of the user's") as caught:
        make_plan(load(), 1, source=source)
    assert not isinstance(caught.value, UserError)
    for word in ("data.num_samples=999999999999999999", "data.num_classes=999999999999999999"):
        with pytest.raises(UserError, match=r"cannot be made: .*; take smaller ones"):
            make_plan(load(None, ["data.source=synthetic", word]), 1)


@pytest.mark.ranks(1)
def test_mini_batch_has_no_more_samples_than_there_are(comm: MPI.Intracomm) -> None:
    """However many are asked for; a data pass is one step then."""
    plan = make_plan(load(None, [f"data.batch_size={2**63 - 1}", "run.data_passes=2"]), 1)
    assert (plan.order.batch_size, plan.work.total_steps) == (plan.source.num_samples, 2)


@pytest.mark.ranks(1)
def test_length_is_at_least_one_step_and_no_more_than_can_be_counted(comm: MPI.Intracomm) -> None:
    """What a pass says is rounded up to whole steps, but not from nothing to one."""
    refused = {
        "1e-300": r"1e-300 makes no step: a data pass has 45 steps, so one step needs "
        r"run\.data_passes >= 0\.0222222, or write run\.steps=1",
        "1e308": "makes more than 9223372036854775807 steps",
    }
    for value, said in refused.items():
        with pytest.raises(UserError, match=said):
            make_plan(load(None, [f"run.data_passes={value}"]), 1)
    for value, num_steps in (("0.001", 1), ("0.0222222", 1), ("1", 45), ("1.01", 46)):
        plan = make_plan(load(None, [f"run.data_passes={value}"]), 1)
        assert plan.work.total_steps == num_steps
