"""The door to array modules: the same code runs on NumPy (host) and CuPy (device)."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from mpitrain.core.errors import UserError, unknown

Array = Any  # numpy.ndarray or cupy.ndarray

DEVICES = ("cpu", "cuda")


def array_module(kind: str) -> Any:
    """Return the array module of a kind of device.

    Args:
        kind: "cpu" or "cuda".

    Raises:
        UserError: the kind is unknown, or CuPy is not installed.
    """
    if kind == "cpu":
        return np
    if kind != "cuda":
        raise unknown("device", kind, DEVICES)  # noqa: EM101  # not a message
    try:
        return load_cupy()
    except ImportError as error:
        msg = "device.kind 'cuda' needs CuPy, which is not installed; install it or choose 'cpu'"
        raise UserError(msg) from error


def load_cupy() -> Any:
    """Import CuPy, on the first call and never before.

    Raises:
        ImportError: it is not installed, or not whole.
    """
    return importlib.import_module("cupy")


def module_of(array: Array) -> Any:
    """Return the module that ``array`` belongs to."""
    return np if isinstance(array, np.ndarray) else array_module("cuda")


def to_host(array: Array) -> Array:
    """Return the array itself where it is on the host, else a copy there."""
    return array if module_of(array) is np else array.get()


def copy_into(out: Array, source: Array) -> None:
    """Copy all elements; the host waits where just one of the two is on a device.

    Args:
        out: any shape, contiguous, host or device, overwritten.
        source: same shape and dtype, contiguous, host or device, unchanged.
    """
    if module_of(out) is module_of(source):
        module_of(out).copyto(out, source)
    elif module_of(out) is np:
        source.get(out=out)
    else:
        out.set(source)
        module_of(out).cuda.get_current_stream().synchronize()  # set alone only enqueues
