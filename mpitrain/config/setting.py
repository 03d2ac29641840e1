"""One setting of a configuration table: its declaration, its check, its description.

A table is a frozen dataclass whose fields are made with ``setting``. The annotation says which
types are allowed, ``setting`` which values, and what the setting means, for people.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from mpitrain.core.errors import UserError, unknown

NONE = "none"  # how a run file and an override spell None, which TOML lacks
_SHORT = 60
_NOTHING = object()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """What ``setting`` says about a field beyond its type.

    Attributes:
        help: one sentence.
        unit: of the value; empty when it has none.
        choices: the valid names; empty allows any.
        least: smallest number allowed.
        above: numbers must be larger than this.
        below: numbers must be smaller than this.
        most: largest number allowed.
        factory: whether "package.module:factory" is allowed beside ``choices``.
        used_by: the setting that decides whether this one is used (of another table: its full
            name), and with which of its values; none means all but false and 0. None: it always is.
    """

    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    least: float | None = None
    above: float | None = None
    below: float | None = None
    most: float | None = None
    factory: bool = False
    used_by: tuple[str, tuple[str, ...]] | None = None

    def allows(self, number: float) -> bool:
        """Tell whether a number is in range; NaN and infinities never are."""
        return (
            abs(number) <= sys.float_info.max  # also of integers that no float can hold
            and (self.least is None or number >= self.least)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
            and (self.most is None or number <= self.most)
        )

    def range(self) -> str:
        """Return the range as words that follow "an integer", for example " >= 0"."""
        bounds = ((">", self.above), (">=", self.least), ("<", self.below), ("<=", self.most))
        said = [f"{sign} {bound:g}" for sign, bound in bounds if bound is not None]
        return " " + " and ".join(said) if said else ""


MOST_INTEGER = (1 << 63) - 1  # what a log can hold
MOST_S = 1e9  # more than thirty years, and less than what a wait of the system's can last


def setting(default: Any, help: str, **rule: Any) -> Any:  # noqa: A002 - the field it fills
    """Declare a field; ``rule`` holds the other attributes of Rule."""
    return dataclasses.field(default=default, metadata={"rule": Rule(help=help, **rule)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Base of the tables: checks every field when it is constructed."""

    table: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Check the fields and bring them to their types (lists become tuples).

        Raises:
            UserError: a value has the wrong type or is out of range; names it.
        """
        for fact in describe(type(self)):
            value = checked(getattr(self, fact.key), fact)
            object.__setattr__(self, fact.key, value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fact:
    """A setting as it is declared.

    Attributes:
        table: the table it is in.
        key: its name there.
        types: the types allowed, without None.
        is_optional: whether None is allowed.
        default: value when it is not given.
        rule: the rest.
    """

    table: str
    key: str
    types: tuple[Any, ...]
    is_optional: bool
    default: Any
    rule: Rule

    @property
    def name(self) -> str:
        """The full name, for example "mode.bound"."""
        return f"{self.table}.{self.key}"

    @property
    def decider(self) -> str:
        """The full name of the setting that decides whether this one is used; empty for none."""
        key = self.rule.used_by[0] if self.rule.used_by else ""
        return f"{self.table}.{key}" if key and "." not in key else key

    @property
    def subject(self) -> str:
        """What an unknown name is said to be: "mode" for mode.kind."""
        return self.table if self.key == "kind" and self.table != "simulate" else self.name

    @property
    def expected(self) -> str:
        """The values allowed, as words that follow "must be"."""
        words = [_WORDS[kind] + self.rule.range() for kind in self.types]
        return " or ".join(words)


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    tuple[int, ...]: "a list of integers",
    tuple[float, ...]: "a list of numbers",
}


def describe(table: type[Table]) -> list[Fact]:
    """Return the settings of a table in their order."""
    hints = typing.get_type_hints(table)
    facts = []
    for field in dataclasses.fields(table):
        allowed = _alternatives(hints[field.name])
        facts.append(
            Fact(
                table=table.table,
                key=field.name,
                types=tuple(kind for kind in allowed if kind is not types.NoneType),
                is_optional=types.NoneType in allowed,
                default=field.default,
                rule=field.metadata["rule"],
            )
        )
    return facts


def checked(value: Any, fact: Fact) -> Any:
    """Return ``value`` in the type that the setting wants.

    Raises:
        UserError: it is not allowed.
    """
    rule = fact.rule
    if fact.is_optional and (value is None or value == NONE):
        return None
    for kind in fact.types:
        found = _fitted(value, kind, rule)
        if found is _NOTHING:
            continue
        if rule.choices and found not in rule.choices and not (rule.factory and ":" in found):
            more = ("package.module:factory",) if rule.factory else ()
            raise unknown(fact.subject, found, (*rule.choices, *more))
        return found
    msg = f"{fact.name} must be {fact.expected}, got {shown(value)}"
    raise UserError(msg)


def check_names(what: str, names: Iterable[str], valid: Iterable[str], table: str = "") -> None:
    """Check that every name is valid.

    Args:
        what: what the names are, for example "key" or "table".
        names: given by the user.
        valid: the names allowed.
        table: put in front of names in the message.

    Raises:
        UserError: one is not; names the nearest valid ones.
    """
    valid = sorted(valid)
    prefix = f"{table}." if table else ""
    for name in names:
        if name not in valid:
            near = difflib.get_close_matches(name, valid, n=2, cutoff=0.6)
            said = [f"{prefix}{other}" for other in near]
            hint = (
                f"did you mean {' or '.join(said)}" if near else f"choose from: {', '.join(valid)}"
            )
            msg = f"unknown {what} '{prefix}{name}'; {hint}"
            raise UserError(msg)


def shown(value: Any) -> str:
    """Return a value as it is written in a message: short, and as in TOML where it differs."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a table"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits or levels
        return f"{type(value).__name__} too large to be shown"
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}..."


def _alternatives(hint: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _fitted(value: Any, kind: Any, rule: Rule) -> Any:
    """Return the value as ``kind``, or _NOTHING when it is none."""
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            return _NOTHING
        items = tuple(_fitted(item, typing.get_args(kind)[0], rule) for item in value)
        return _NOTHING if _NOTHING in items else items
    if kind is str and isinstance(value, str) and not _is_text(value):
        return _NOTHING
    if kind in (bool, str):
        return value if isinstance(value, kind) else _NOTHING
    wanted = int if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, wanted) or not rule.allows(value):
        return _NOTHING
    if kind is int and not -MOST_INTEGER <= value <= MOST_INTEGER:
        return _NOTHING
    return kind(value)


def _is_text(value: str) -> bool:
    """Tell whether a string can be written: bytes of a command line that are no UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
