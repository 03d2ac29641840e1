"""What a run ends with: the one JSON line, result.json, and the parameters by name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.storage.run_directory import json_line

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of a run; the same on every rank.

    Attributes:
        facts: what the JSON line holds.
        parameters: name -> array, host, the final parameters.
    """

    facts: dict[str, Any]
    parameters: dict[str, npt.NDArray[Any]]

    def __getattr__(self, name: str) -> Any:  # a JSON value
        """Return a fact by name, for example ``result.accuracy``."""
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def json_line(self) -> str:
        """Return the facts as one line of JSON; what is not finite is null."""
        return json_line(self.facts)


def parameters_sha256(flat: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of the flat vector's little-endian bytes, in layout order.

    Other threads go on meanwhile.

    Args:
        flat: (n,), contiguous, host, unchanged.
    """
    little = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(little.view(np.uint8).data).hexdigest()
