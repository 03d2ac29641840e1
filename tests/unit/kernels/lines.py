"""Lines of a CUDA text that are Python, too, run on NumPy's numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

DECLARATION = re.compile(r"(?:real|bool|size|unsigned) [\w, ]+|return .*")


def run_lines(source: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Run the body of a function, or of a lambda that is given a name, and return all names.

    Args:
        source: CUDA.
        name: of the function, whose body has neither blocks nor lines that are only C.
        values: what the names mean before, functions among them.
    """
    body = re.search(rf"\b{name}(?: = \[&\])?\([^()]*\)\s*\{{(.*?)\}}", source, re.DOTALL)
    assert body
    lines = [line.strip() for line in body[1].split(";") if line.strip()]
    names = {"select": np.where, **values}
    for line in lines:
        if not DECLARATION.fullmatch(line):
            exec(line, {}, names)
    return names
