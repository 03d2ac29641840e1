"""Element-wise arithmetic as text that NumPy and CUDA both run: one operation per line.

A line is ``x = a * b`` (or +, -, /) or ``x = sqrt(a)``. Each rounds once, on either side, so both
twins give the same bits.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mpitrain.core.arrays import Array

_LINE = re.compile(r"(\w+) = (?:(\w+) ([*+/-]) (\w+)|(sqrt)\((\w+)\))")


@dataclass(frozen=True)
class Operation:
    """One line.

    Attributes:
        text: the line, valid C but for the semicolon.
        target: what is assigned.
        symbol: "*", "+", "-", "/" or "sqrt".
        operands: names, two or one.
    """

    text: str
    target: str
    symbol: str
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """Operations on one element of some vectors, and where the names live.

    Attributes:
        operations: in order.
        vectors: names that are in memory, in the order in which a kernel takes them.
        loads: those of them that are read.
        stores: those of them that are written.
        locals: names that live only while an element is worked on, loaded ones too.
        scalars: the other names, the same for all elements.
        measured: the name whose squares are summed, or None.
    """

    operations: tuple[Operation, ...]
    vectors: tuple[str, ...]
    loads: tuple[str, ...]
    stores: tuple[str, ...]
    locals: tuple[str, ...]
    scalars: tuple[str, ...]
    measured: str | None

    def without_ones(self, ones: Container[str]) -> tuple[Operation, ...]:
        """Return the operations less those that only multiply a name by a scalar of ``ones``."""
        return tuple(
            op
            for op in self.operations
            if not (op.symbol == "*" and op.operands[0] == op.target and op.operands[1] in ones)
        )


def program(
    lines: Iterable[str],
    *,
    memory: Iterable[str],
    stores: Iterable[str],
    measured: str | None = None,
) -> Program:
    """Return the program of ``lines``.

    Args:
        lines: one operation each.
        memory: names that are vectors where they are used and not assigned before.
        stores: names whose last value is written to memory.
        measured: see Program.
    """
    operations = tuple(_operation(line) for line in lines)
    memory, stores = tuple(memory), tuple(stores)
    used, assigned = [], []
    for op in operations:
        used += [name for name in op.operands if name not in assigned and name not in used]
        assigned += [op.target] if op.target not in assigned else []
    if measured is not None and measured not in assigned and measured not in used:
        used.append(measured)
    return Program(
        operations=operations,
        vectors=tuple(name for name in memory if name in used or name in stores),
        loads=tuple(name for name in memory if name in used),
        stores=stores,
        locals=tuple(name for name in assigned if name not in stores),
        scalars=tuple(name for name in used if name not in memory),
        measured=measured,
    )


def _operation(line: str) -> Operation:
    match = _LINE.fullmatch(line)
    assert match, line
    target, left, symbol, right, root, inner = match.groups()
    if root:
        return Operation(line, target, root, (inner,))
    return Operation(line, target, symbol, (left, right))


class Kernel(Protocol):
    """A program made ready for vectors of one type in one place."""

    def run(
        self, vectors: Mapping[str, Array], scalars: Mapping[str, float], squared: Array | None
    ) -> None:
        """Run the program on every element.

        Args:
            vectors: (m,) each, by the program's names; those stored are overwritten. None shares
                memory with another.
            scalars: by name; more than the program's may be there.
            squared: (1,), float64, overwritten with the sum of the measured name's squares; None
                if the program measures nothing.
        """
