"""Which settings a configuration has no use for: what ``used_by`` of their declarations says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpitrain.config.setting import NONE, Fact
from mpitrain.config.text import format_value


def unused(facts: Sequence[Fact], tables: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the settings that are not used, by full name, each with the reason.

    A factory of the user's may use any, so beside one every setting is in use.

    Args:
        facts: every setting.
        tables: every value, by table and key.
    """
    by_name = {fact.name: fact for fact in facts}
    reasons = {name: _reason(fact, by_name, tables) for name, fact in by_name.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def condition(fact: Fact) -> str:
    """Return when a setting is used, in brackets for people; empty when it always is."""
    if fact.rule.used_by is None:
        return ""
    _, values = fact.rule.used_by
    return f" ({', '.join(values)})" if values else f" (with {fact.decider})"


def _reason(
    fact: Fact, by_name: Mapping[str, Fact], tables: Mapping[str, Mapping[str, Any]]
) -> str:
    if fact.rule.used_by is None:
        return ""
    decider, (_, values) = fact.decider, fact.rule.used_by
    table, _, key = decider.partition(".")
    found = tables[table][key]
    is_on = found in values or ":" in found if values else bool(found)
    if not is_on:
        return f"{decider} is {_shown(found)}"
    return _reason(by_name[decider], by_name, tables)


def _shown(value: Any) -> str:
    if value is None:
        return NONE
    return value if isinstance(value, str) else format_value(value)
