"""Objects of the user's own: made by ``package.module:factory``, checked before they are used."""

from __future__ import annotations

import importlib
from typing import Any

import numpy.typing as npt

from mpitrain.core.errors import UserError
from mpitrain.data.checks import check_is_source
from mpitrain.data.source import ArraySource, Source
from mpitrain.models.checks import check_is_model
from mpitrain.models.model import Model

Data = Source | tuple[npt.ArrayLike, ...]  # what stands for a source: itself, or four arrays


def made(key: str, name: str, *arguments: Any) -> Any:
    """Import ``module:factory`` and call it; whatever goes wrong is the user's to mend.

    Raises:
        UserError: it cannot be imported or called.
    """
    module_name, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:
        message = f"{key} = {name!r} cannot be imported: {error or type(error).__name__}"
        raise UserError(message) from error
    try:
        return factory(*arguments)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        message = f"{key} = {name!r} failed with {type(error).__name__}: {error}"
        raise UserError(message) from error


def checked_source(source: Any, what: str) -> Source:
    """Return ``source``, which ``what`` gave; four arrays become one.

    Raises:
        UserError: it is no source of samples; names what is missing.
    """
    if isinstance(source, tuple):
        return ArraySource.from_arrays(source)
    check_is_source(source, what)
    checked: Source = source
    return checked


def checked_model(model: Any, what: str) -> Model:
    """Return ``model``, which ``what`` gave.

    Raises:
        UserError: it is no model; names what is missing.
    """
    check_is_model(model, what)
    checked: Model = model
    return checked
