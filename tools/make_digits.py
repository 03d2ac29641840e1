"""Make the bundled file mpitrain/data/digits.h5 from scikit-learn's copy of the UCI digits.

    python tools/make_digits.py [OUT.h5]

Needs scikit-learn, which mpitrain itself does not, and mpitrain installed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.seeds import generator
from mpitrain.storage.arrays_file import write_arrays

SEED = 1998
ATTRIBUTES: dict[str, str | int] = {
    "source": (
        "UCI Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, "
        "https://doi.org/10.24432/C50P49; scikit-learn's copy, 1,797 images of 8x8 pixels, 0 to 16"
    ),
    "licence": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    "changes": "split into training and test images, every fifth of each digit to test",
    "seed": SEED,
    "script": "tools/make_digits.py",
}
_BUNDLED = Path(__file__).parents[1] / "mpitrain" / "data" / "digits.h5"


def split(labels: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.bool_]:
    """Choose one sample in five for the test set, evenly from each class.

    Args:
        labels: (n,), int64, not changed.
        seed: of the choice.

    Returns:
        (n,), bool, true for test samples.
    """
    by_class = [
        generator(seed, "digits", label).permutation(np.flatnonzero(labels == label))
        for label in range(int(labels.max()) + 1)
    ]
    is_test = np.zeros(len(labels), np.bool_)
    is_test[np.concatenate(by_class)[::5]] = True
    return is_test


def make_arrays() -> dict[str, npt.NDArray[Any]]:
    """Return the four arrays of the file, uint8; images (n, 8, 8) in scikit-learn's order."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    is_test = split(digits.target, SEED)
    return {
        "train_x": images[~is_test],
        "train_y": labels[~is_test],
        "test_x": images[is_test],
        "test_y": labels[is_test],
    }


def main(arguments: list[str]) -> int:
    """Write the file and return the exit code."""
    path = Path(arguments[0]) if arguments else _BUNDLED
    write_arrays(path, make_arrays(), attributes=ATTRIBUTES)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
