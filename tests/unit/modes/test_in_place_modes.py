"""Devices in memory of all ranks: every wait is needed, and with all of them numbers are right.

Streams run as late as a program allows, or in a random order; ranks are threads here.
"""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mpitrain.core.shards import Shards
from mpitrain.core.tree import tree_sum_into
from mpitrain.devices.in_place import InPlace
from mpitrain.modes.in_place_sum import InPlaceSum
from mpitrain.modes.message import NUM_SIGNALS
from mpitrain.modes.route import Direct
from tests.unit.devices.fake_cupy import FakeCupy

SIZE, NUM_RANKS, NUM_STEPS = 10, 3, 4
ORDERS = [None, *range(20)]  # None is as late as possible
Site = tuple[int, ...]


class LateTwin:
    """A twin whose kernels are put off, and whose waits can be left out.

    Attributes:
        sites: where it was told to wait: lines, innermost first.
    """

    def __init__(self, xp: FakeCupy, left_out: Site | None) -> None:
        self.xp = xp
        self.sites: set[Site] = set()
        self._left_out = left_out

    def wait(self) -> None:
        """Wait for everything, unless it is the one that is left out."""
        frame = sys._getframe(1)
        site = frame.f_lineno, 0 if frame.f_back is None else frame.f_back.f_lineno
        self.sites.add(site)
        if site != self._left_out:
            self.xp.cuda.get_current_stream().synchronize()

    def addition(self, to: Any, change: Any) -> Any:
        """Return a kernel's run."""
        return lambda _scalars: self.xp.launch(np.add, to, change, to)


def steps_in_place(seed: int | None, left_out: Site | None = None) -> set[Site]:
    """Read, look and add over the route of a window; return where it waited."""
    shards, random = Shards(SIZE, 3, 1), np.random.default_rng(0)
    fake = FakeCupy(seed)
    twin = LateTwin(fake, left_out)
    whole = np.zeros(SIZE, np.float32)
    memory = [whole[shards.slice(shard)] for shard in range(3)]
    vectors = {name: fake.zeros(SIZE, np.float32) for name in ("parameters", "change", "seen")}
    parts = {name: [v[shards.slice(k)] for k in range(3)] for name, v in vectors.items()}
    window: Any = SimpleNamespace(
        shards=shards,
        dtype=whole.dtype,
        memory_of=memory.__getitem__,
        read_by=lambda _shard, fetch: fetch(),
    )
    update: Any = SimpleNamespace(
        twin=twin,
        parameters_of=parts["parameters"],
        change_of=parts["change"],
        needs_present=True,
    )
    route = Direct(window, update, InPlace(fake, memory))
    for _ in range(NUM_STEPS):
        whole[:] = random.random(SIZE)
        for shard in range(3):
            route.read(shard)
            np.testing.assert_array_equal(parts["parameters"][shard], memory[shard])
        change = random.random(SIZE).astype(np.float32)
        fake.launch(np.copyto, vectors["change"], change)
        route.send(range(3))
        for shard in range(3):
            route.await_change(shard)
            np.testing.assert_array_equal(vectors["change"], change)  # sections are short
            before = memory[shard].copy()
            fake.launch(np.copyto, parts["seen"][shard], route.present(shard))
            route.add(shard)
            np.testing.assert_array_equal(parts["seen"][shard], before)
            np.testing.assert_array_equal(memory[shard], before + change[shards.slice(shard)])
    fake.launch(np.copyto, vectors["seen"], vectors["change"])  # something is under way
    route.close()
    return twin.sites


def sums_in_place(seed: int | None, left_out: Site | None = None) -> set[Site]:
    """Sum over ranks, each with a device of its own; return where they waited."""
    vectors = [np.zeros(SIZE + NUM_SIGNALS, np.float32) for _ in range(NUM_RANKS)]
    barrier = threading.Barrier(NUM_RANKS, timeout=10)
    sites: set[Site] = set()
    wrong: list[BaseException] = []

    def run(rank: int) -> None:
        fake = FakeCupy(None if seed is None else seed + 100 * rank)
        twin: Any = LateTwin(fake, left_out)
        shared: Any = SimpleNamespace(
            vectors=vectors, publish=lambda _purpose: barrier.wait(), close=barrier.wait
        )
        summed = InPlaceSum(rank, shared, InPlace(fake, vectors), twin)
        for step in range(NUM_STEPS):
            given = [np.random.default_rng([step, q]).random(SIZE, np.float32) for q in range(3)]
            fake.launch(np.copyto, summed.gradient, given[rank])
            summed.signals[:] = 1, rank
            summed.sum_in_place()
            result = np.zeros(SIZE, np.float32)
            fake.launch(np.copyto, result, summed.gradient)
            fake.cuda.get_current_stream().synchronize()  # as what measures the gradient does
            tree_sum_into(given)
            np.testing.assert_array_equal(result, given[0])
            assert summed.signals.tolist() == [3, 3]
        fake.launch(np.copyto, result, summed.gradient)  # something is under way
        summed.close()
        sites.update(twin.sites)

    def guarded(rank: int) -> None:
        try:
            run(rank)
        except BaseException as error:  # told below
            wrong.append(error)
            barrier.abort()

    threads = [threading.Thread(target=guarded, args=(rank,)) for rank in range(NUM_RANKS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise next((e for e in wrong if not isinstance(e, threading.BrokenBarrierError)), wrong[0])
    return sites


@pytest.mark.parametrize("program", [steps_in_place, sums_in_place])
@pytest.mark.parametrize("seed", ORDERS)
def test_numbers_are_right_in_whatever_order_streams_run(program: Any, seed: int | None) -> None:
    """All reads, sums and additions."""
    program(seed)


@pytest.mark.parametrize("program", [steps_in_place, sums_in_place])
def test_no_wait_may_be_left_out(program: Any) -> None:
    """Without any one of them something is wrong."""
    sites = program(None)
    assert len(sites) >= 3
    for site in sites:
        with pytest.raises(AssertionError):
            program(None, site)
