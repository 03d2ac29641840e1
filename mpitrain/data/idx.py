"""MNIST, Fashion-MNIST and whatever else comes as four IDX files in a folder."""

from __future__ import annotations

from pathlib import Path

from mpitrain.core.errors import UserError, reason
from mpitrain.data.idx_file import read_idx
from mpitrain.data.source import ArraySource

_LARGEST_PIXEL = 255.0
_HINT = (
    "on Debian, 'apt-get install dataset-fashion-mnist' puts such files "
    "into /usr/share/datasets/fashion-mnist"
)


class IdxSource(ArraySource):
    """Images with pixels in [0, 1] from IDX files, kept in memory as bytes.

    Looks for train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
    t10k-labels-idx1-ubyte, each plain or with .gz, also spelt with a dot (train-images.idx3-ubyte).

    Args:
        path: folder of the four files.
        num_classes: ``None`` takes the largest label + 1.

    Raises:
        UserError: a file is missing, damaged or foreign, or images and labels don't fit.
    """

    def __init__(self, path: str | Path, *, num_classes: int | None = None) -> None:
        """Read the four files."""
        folder = Path(path)
        try:
            is_folder = folder.is_dir()
        except OSError as error:
            msg = f"data.path {folder} cannot be read: {reason(error)}"
            raise UserError(msg) from error
        if not is_folder:
            msg = f"data.path must be a folder of IDX files, got {folder}; {_HINT}"
            raise UserError(msg)
        super().__init__(
            read_idx(_find(folder, "train-images-idx3-ubyte"), 3),
            read_idx(_find(folder, "train-labels-idx1-ubyte"), 1),
            read_idx(_find(folder, "t10k-images-idx3-ubyte"), 3),
            read_idx(_find(folder, "t10k-labels-idx1-ubyte"), 1),
            divisor=_LARGEST_PIXEL,
            num_classes=num_classes,
            what=f"data.path {folder}",
        )


def _find(folder: Path, name: str) -> Path:
    dotted = name.replace("-idx", ".idx")
    for spelling in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
        if (folder / spelling).is_file():
            return folder / spelling
    msg = f"data.path {folder} has no file {name} or {name}.gz; {_HINT}"
    raise UserError(msg)
