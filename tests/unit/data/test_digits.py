"""The bundled handwritten digits."""

from __future__ import annotations

import hashlib
import importlib.util
import runpy
from pathlib import Path

import numpy as np
import pytest

from mpitrain.data.digits import DigitsSource
from mpitrain.storage.arrays_file import ArrayFile

ROOT = Path(__file__).parents[3]
BUNDLED = ROOT / "mpitrain" / "data" / "digits.h5"
ARRAYS_SHA256 = {
    "train_x": "f418fb79c5f91623aec3ca9e43144df2fe9cc44ca454fd1aeb63e64c483f904f",
    "train_y": "c1ca65ddd9be1791f8d8c1d3d310b11448a7495b4a188ef478f75f6c2561f431",
    "test_x": "db68bce3804cb050dffb063ccbcc523923ceac8aeba67d3703866c32636093ef",
    "test_y": "71a8b15c899a62feafeb49532d765033eb8500e078439cdee84ca14f885b3a83",
}


def test_bundled_arrays_are_the_recorded_ones() -> None:
    """Every array has the recorded SHA-256, whether scikit-learn is there or not."""
    with ArrayFile(BUNDLED) as file:
        found = {
            name: hashlib.sha256(file.read(name).tobytes()).hexdigest() for name in ARRAYS_SHA256
        }
    assert found == ARRAYS_SHA256


@pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None,
    reason="remaking needs scikit-learn; the recorded SHA-256 are checked without it",
)
def test_script_remakes_the_bundled_file(tmp_path: Path) -> None:
    """The script gives the bundled arrays again, and the same bytes each time it runs."""
    script = runpy.run_path(str(ROOT / "tools" / "make_digits.py"))
    assert script["main"]([str(tmp_path / "one.h5")]) == 0
    assert script["main"]([str(tmp_path / "two.h5")]) == 0
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    with ArrayFile(tmp_path / "one.h5") as made, ArrayFile(BUNDLED) as bundled:
        assert made.keys == bundled.keys == ("test_x", "test_y", "train_x", "train_y")
        assert made.attributes == bundled.attributes
        for name in made.keys:
            np.testing.assert_array_equal(made.read(name), bundled.read(name))


def test_file_names_its_source_and_licence() -> None:
    """Whoever finds the file learns from it where the images are from and what is allowed."""
    with ArrayFile(BUNDLED) as file:
        attributes = file.attributes
    assert "Alpaydin and C. Kaynak, 1998" in attributes["source"]
    assert attributes["licence"].startswith("CC BY 4.0")
    assert attributes["script"] == "tools/make_digits.py"


def test_digits_are_scaled_complete_and_evenly_split() -> None:
    """1,437 and 360 images with pixels in [0, 1]; of each digit, a fifth of the images are test."""
    source = DigitsSource()
    assert (source.num_samples, source.num_test) == (1437, 360)
    assert source.sample_shape == (8, 8)
    assert source.num_classes == 10
    x = np.empty((1437, 8, 8), np.float32)
    y = np.empty(1437, np.int64)
    source.gather_into(np.arange(1437), x, y)
    (test,) = source.test_slices(np.float32)
    for pixels in (x, test.x):
        assert pixels.min() == 0
        assert pixels.max() == 1
        np.testing.assert_array_equal(pixels * 16, np.round(pixels * 16))
    train_counts = np.bincount(y, minlength=10)
    test_counts = np.bincount(test.y, minlength=10)
    np.testing.assert_allclose(test_counts, (train_counts + test_counts) / 5, atol=1)
    seen = {image.tobytes() for image in x}
    assert not any(image.tobytes() in seen for image in test.x)
