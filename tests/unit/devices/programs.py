"""Programs that move vectors between host and device, each judged by the numbers it ends with.

They run on anything that has memory and kernels. What a correct order gives is computed beside
them by NumPy alone, in the same operations on the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.devices.transfer import Transfer, transfer_of

LENGTHS = (33, 0, 1, 7, 2, 64, 0, 5)
NUM_STEPS = 12
DTYPE = np.float64
PACK = 2  # elements in 16 bytes
STEPS = range(1, NUM_STEPS + 1)

Vector = npt.NDArray[Any]


class Machine:
    """Where a program runs.

    Attributes:
        parts: of every vector, ``scale`` times as long as LENGTHS tells.
        size: elements of every vector.
    """

    def __init__(self, xp: Any, scale: int = 1) -> None:
        """Run on NumPy, CuPy or its stand-in."""
        self._xp = xp
        self._launch = getattr(xp, "launch", None)
        stops = list(accumulate(scale * length for length in LENGTHS))
        self.parts = [slice(*ends) for ends in zip([0, *stops], stops, strict=False)]
        self.size = stops[-1]

    def transfer(self) -> Transfer:
        """Return the transfer of a new vector."""
        return transfer_of(self._xp, self._xp.empty(self.size, DTYPE), self.parts)

    def scratch(self) -> Transfer:
        """Return the transfer of one part: room for the longest, at any distance from a pack."""
        longest = max(part.stop - part.start for part in self.parts) + PACK - 1
        return transfer_of(self._xp, self._xp.empty(longest, DTYPE), [slice(0, longest)])

    def launch(self, kernel: Callable[..., object], *arguments: object) -> None:
        """Run a kernel on the device, or enqueue it there."""
        if self._launch is None:
            kernel(*arguments)
        else:
            self._launch(kernel, *arguments)

    def walk(self, first: int) -> list[int]:
        """Return all parts, from another one on each time."""
        count = len(self.parts)
        return [(first + step) % count for step in range(count)]

    def start(self) -> Vector:
        """Return numbers to start from, all different."""
        return np.arange(1.0, self.size + 1, dtype=DTYPE)


def fill(out: Any, number: float) -> None:
    """Set every element."""
    out[...] = number


def add(out: Any, vector: Any) -> None:
    """Add element by element."""
    out += vector


def mix(out: Any, vector: Any, step: int) -> None:
    """Set ``out`` to something that depends on every element and on the step."""
    out[...] = vector
    out *= -0.25
    out += step


def read_and_write_shards(machine: Machine) -> None:
    """Parameters up part by part, one kernel, the change down and added part by part."""
    window, expected = machine.start(), machine.start()
    change_expected = np.empty_like(expected)
    parameters, change = machine.transfer(), machine.transfer()
    for step in STEPS:
        walk = machine.walk(step)
        for part in walk:
            parameters.on_host(part)[...] = window[machine.parts[part]]
            parameters.upload(part)
        machine.launch(mix, change.device, parameters.device, step)
        change.download(walk)
        for part in walk:
            window[machine.parts[part]] += change.on_host(part)
        mix(change_expected, expected, step)
        expected += change_expected
    parameters.close()
    change.close()
    np.testing.assert_array_equal(window, expected)


def read_twice(machine: Machine) -> None:
    """As much as the host pleases goes up before it waits for a kernel."""
    total, values = machine.transfer(), machine.transfer()
    machine.launch(fill, total.device, 0.0)
    for step in STEPS:
        for part in machine.walk(step):
            values.on_host(part)[...] = step
            values.upload(part)
        machine.launch(add, total.device, values.device)
    assert_on_device(total, np.full(machine.size, float(sum(STEPS))))
    values.close()


def reduce_pieces(machine: Machine) -> None:
    """One vector down and up again: its parts are changed by the host as they arrive."""
    expected = machine.start()
    parameters, gradient = machine.transfer(), machine.transfer()
    put(parameters, expected)
    gradient_expected = np.empty_like(expected)
    for step in STEPS:
        machine.launch(mix, gradient.device, parameters.device, step)
        walk = machine.walk(0)
        gradient.download(walk)
        for part in walk:
            piece = gradient.on_host(part)
            piece *= 0.5
            gradient.upload(part)
        machine.launch(add, parameters.device, gradient.device)
        mix(gradient_expected, expected, step)
        gradient_expected *= 0.5
        expected += gradient_expected
    gradient.close()
    assert_on_device(parameters, expected)


def update_pieces(machine: Machine) -> None:
    """A part is used by a kernel of its own while the next goes up."""
    expected = machine.start()
    parameters, gradient = machine.transfer(), machine.transfer()
    put(parameters, expected)
    for step in STEPS:
        for part in machine.walk(step):
            gradient.on_host(part)[...] = step * part
            gradient.upload(part)
            arguments = parameters.device_parts[part], gradient.device_parts[part]
            machine.launch(add, *arguments)
            expected[machine.parts[part]] += step * part
    gradient.close()
    assert_on_device(parameters, expected)


def compensate_shards(machine: Machine) -> None:
    """Present values up, a kernel, the change down: part by part inside a write section."""
    window, expected = machine.start(), machine.start()
    present, change = machine.transfer(), machine.transfer()
    change_expected = np.empty_like(expected)
    for step in STEPS:
        for part in machine.walk(step):
            shard = machine.parts[part]
            present.on_host(part)[...] = window[shard]
            present.upload(part)
            arguments = change.device_parts[part], present.device_parts[part]
            machine.launch(mix, *arguments, step)
            change.download([part])
            window[shard] += change.on_host(part)
        mix(change_expected, expected, step)
        expected += change_expected
    present.close()
    change.close()
    np.testing.assert_array_equal(window, expected)


def compensate_in_scratch(machine: Machine) -> None:
    """As compensate_shards, with room for one shard at a time, as far from 16 bytes as it is."""
    window, expected = machine.start(), machine.start()
    present, change = machine.scratch(), machine.transfer()
    change_expected = np.empty_like(expected)
    for step in STEPS:
        for part in machine.walk(step):
            shard = machine.parts[part]
            first = shard.start % PACK
            room = slice(first, first + shard.stop - shard.start)
            present.on_host(0)[room] = window[shard]
            present.upload(0)
            machine.launch(mix, change.device_parts[part], present.device_parts[0][room], step)
            change.download([part])
            window[shard] += change.on_host(part)
        mix(change_expected, expected, step)
        expected += change_expected
    present.close()
    change.close()
    np.testing.assert_array_equal(window, expected)


def overwrite_early(machine: Machine) -> None:
    """What is copied down are the values that the program saw, whatever is enqueued behind."""
    values = machine.transfer()
    found = np.empty(machine.size, DTYPE)
    for step in STEPS:
        machine.launch(fill, values.device, step)
        values.download(machine.walk(step))
        if values.host is not values.device:
            machine.launch(fill, values.device, -step)
        for part in reversed(machine.walk(step)):
            found[machine.parts[part]] = values.on_host(part)
        np.testing.assert_array_equal(found, step)
    values.close()


def turn_round(machine: Machine) -> None:
    """Down, and up with other values: twice in both directions before the host looks."""
    values, total = machine.transfer(), machine.transfer()
    machine.launch(fill, total.device, 0.0)
    put(values, np.zeros(machine.size))
    for step in STEPS:
        machine.launch(add, values.device, 1.0)
        values.download(machine.walk(step))
        machine.launch(add, total.device, values.device)
        for part in machine.walk(2 * step):
            values.on_host(part)[...] += 1.0
            values.upload(part)
    values.download(machine.walk(0))
    assert_on_device(values, np.full(machine.size, 2.0 * NUM_STEPS))
    assert_on_device(total, np.full(machine.size, float(sum(2 * step - 1 for step in STEPS))))


def close_early(machine: Machine) -> None:
    """What is under way arrives before close returns."""
    values = machine.transfer()
    machine.launch(fill, values.device, 7.0)
    values.download(machine.walk(0))
    values.close()
    np.testing.assert_array_equal(values.host, 7.0)


PROGRAMS: tuple[Callable[[Machine], None], ...] = (
    read_and_write_shards,
    read_twice,
    reduce_pieces,
    update_pieces,
    compensate_shards,
    compensate_in_scratch,
    overwrite_early,
    turn_round,
    close_early,
)


def put(transfer: Transfer, values: Vector) -> None:
    """Set a whole vector from the host."""
    start = 0
    for part, on_device in enumerate(transfer.device_parts):
        stop = start + on_device.size
        transfer.on_host(part)[...] = values[start:stop]
        transfer.upload(part)
        start = stop


def assert_on_device(transfer: Transfer, expected: Vector) -> None:
    """Compare the device's side with what it should be, and close."""
    parts = range(len(transfer.device_parts))
    transfer.download(parts)
    found = np.concatenate([transfer.on_host(part) for part in parts])
    transfer.close()
    np.testing.assert_array_equal(found, expected)
