"""Element-wise arithmetic as text that NumPy, compiled loops and CUDA all run.

A line is an assignment, for example ``velocity = velocity * momentum + gradient``, of +, -, *, /,
``sqrt``, ``abs`` and ``min`` of two. It is taken apart into single operations, in the order that
Python gives it. Each rounds once wherever it runs, so all twins give the same bits.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from textwrap import dedent

_SYMBOLS: dict[type[ast.operator], str] = {
    ast.Mult: "*",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Div: "/",
}
INNER = "inner"  # begins the names of inner results, and of nothing else
NUMPY_NAMES = {
    "*": "multiply",
    "+": "add",
    "-": "subtract",
    "/": "divide",
    "sqrt": "sqrt",
    "abs": "absolute",
    "min": "minimum",
}
"""What NumPy and CuPy call the operations, by symbol."""

_FUNCTIONS = {"sqrt": 1, "abs": 1, "min": 2}  # to the number of their arguments


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        target: what is assigned.
        symbol: "*", "+", "-", "/", "sqrt", "abs" or "min".
        operands: names, one or two.
    """

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

    @property
    def num_moved(self) -> int:
        """How many vectors a kernel must move: those read and those written."""
        return len(self.loads) + len(self.stores)

    def without_ones(self, ones: Container[str]) -> tuple[Operation, ...]:
        """Return the operations less those that only multiply a name by a scalar of ``ones``."""
        return tuple(
            op
            for op in self.operations
            if not (op.symbol == "*" and op.operands[0] == op.target and op.operands[1] in ones)
        )


def program(
    text: str, *, memory: Iterable[str], stores: Iterable[str], measured: str | None = None
) -> Program:
    """Return the program of ``text``.

    Args:
        text: assignments, one a line.
        memory: names that are vectors where they are used and not assigned before.
        stores: names whose last value is written to memory.
        measured: see Program.
    """
    operations = tuple(_operations(text))
    memory, stores = tuple(memory), tuple(stores)
    assert not any(name.startswith(INNER) for name in (*memory, *stores))
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


def _operations(text: str) -> Iterator[Operation]:
    for line in ast.parse(dedent(text)).body:
        assert isinstance(line, ast.Assign), ast.unparse(line)
        (target,) = line.targets
        assert isinstance(target, ast.Name), ast.unparse(line)
        assert not isinstance(line.value, ast.Name), ast.unparse(line)
        yield from _Line(target.id).operations(line.value)


class _Line:
    """Takes one assignment apart.

    Inner results go where an operand already is that nobody needs again, else into the target if
    its old value is not needed either, else into a name of their own.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._free: list[str] = []
        self._num_inner = 0
        self._made: list[Operation] = []

    def operations(self, value: ast.expr) -> list[Operation]:
        """Return the operations that assign ``value``."""
        symbol, operands = _taken_apart(value)
        names = self._names(operands, frozenset())
        return [*self._made, Operation(self._target, symbol, names)]

    def _names(self, operands: list[ast.expr], later: frozenset[str]) -> tuple[str, ...]:
        """Return where the operands are once what is made so far was run.

        Args:
            operands: of one operation.
            later: names whose present value is needed after it.
        """
        names: list[str] = []
        for number, operand in enumerate(operands):
            beside = [name for other in operands[number + 1 :] for name in _leaves(other)]
            names.append(self._name(operand, later.union(beside, names)))
        return tuple(names)

    def _name(self, node: ast.expr, later: frozenset[str]) -> str:
        if isinstance(node, ast.Name):
            return node.id
        symbol, operands = _taken_apart(node)
        names = self._names(operands, later)
        inner = [name for name in names if name.startswith(INNER)]
        place = inner.pop(0) if inner else self._place(later)
        self._free += inner
        self._made.append(Operation(place, symbol, names))
        return place

    def _place(self, later: frozenset[str]) -> str:
        if self._target not in later:
            return self._target
        if self._free:
            return self._free.pop()
        self._num_inner += 1
        return f"{INNER}{self._num_inner}"


def _taken_apart(node: ast.expr) -> tuple[str, list[ast.expr]]:
    """Return the symbol and the operands of an operation."""
    if isinstance(node, ast.BinOp) and type(node.op) in _SYMBOLS:
        return _SYMBOLS[type(node.op)], [node.left, node.right]
    assert isinstance(node, ast.Call), ast.unparse(node)
    assert isinstance(node.func, ast.Name), ast.unparse(node)
    assert _FUNCTIONS.get(node.func.id) == len(node.args), ast.unparse(node)
    return node.func.id, node.args


def _leaves(node: ast.expr) -> Iterator[str]:
    functions = {id(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and id(inner) not in functions:
            yield inner.id
