"""Where the templates of job scripts are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mpitrain.batch.script import JOBS
from mpitrain.core.errors import UserError, reason

TRAIN, SITE = "train.sbatch", "site.sh"
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Templates:
    """A folder of templates.

    Attributes:
        folder: absolute.
        is_bundled: it came with the package, so its site file knows nothing of this site.
    """

    folder: Path
    is_bundled: bool = False

    @property
    def site(self) -> Path:
        """The file that knows the site."""
        return self.folder / SITE

    def read(self, name: str = TRAIN) -> str:
        """Return the text of a template.

        Raises:
            UserError: it cannot be read, or there is no site file beside it.
        """
        path = self.folder / name
        try:
            self.site.read_bytes()
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            named = getattr(error, "filename", None) or path
            message = (
                f"{named} cannot be read: {reason(error)}; set {JOBS} to a folder of templates"
            )
            raise UserError(message) from error


def find_templates(environ: Mapping[str, str], working: Path) -> Templates:
    """Return the folder that MPITRAIN_JOBS names, else ``working/jobs``, else the package's own.

    Raises:
        UserError: MPITRAIN_JOBS names a folder without templates.
    """
    named = environ.get(JOBS)
    if named:
        folder = working / named
        if not (folder / TRAIN).is_file():
            message = f"{JOBS} is {named!r}, where there is no {TRAIN}"
            raise UserError(message)
        return Templates(folder)
    if (working / "jobs" / TRAIN).is_file():
        return Templates(working / "jobs")
    places = (_PACKAGE / "jobs", _PACKAGE.parent / "jobs")  # of a wheel, of a checkout
    found = next((place for place in places if (place / TRAIN).is_file()), places[0])
    return Templates(found, is_bundled=True)
