"""The bundled data: 1,797 handwritten digits of 8x8 pixels, enough to try everything offline."""

from __future__ import annotations

from pathlib import Path

from mpitrain.data.source import ArraySource
from mpitrain.storage.arrays_file import ArrayFile

_PATH = Path(__file__).with_name("digits.h5")
_LARGEST_PIXEL = 16.0


class DigitsSource(ArraySource):
    """Handwritten digits, (8, 8) pixels in [0, 1], 10 classes; 1,437 to train on, 360 to test.

    The file is made by ``tools/make_digits.py``; its attributes name source and licence.

    Source: E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI
        Machine Learning Repository, CC BY 4.0; the copy in scikit-learn.
    """

    def __init__(self) -> None:
        """Read the bundled file."""
        with ArrayFile(_PATH) as file:
            super().__init__(
                file.read("train_x"),
                file.read("train_y"),
                file.read("test_x"),
                file.read("test_y"),
                divisor=_LARGEST_PIXEL,
                num_classes=10,
                what="data.source 'digits'",
            )
