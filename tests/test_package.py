"""The distributions: what wheel and source distribution hold, and what they say of themselves."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import mpitrain

ROOT = Path(__file__).resolve().parents[1]
HOOK = "import sys; from hatchling import build; print(getattr(build, sys.argv[1])(sys.argv[2]))"
TOP = ("CHANGELOG.md", "CITATION.cff", "LICENSE", "Makefile", "README.md", "pyproject.toml")
FOLDERS = (".ci", "jobs", "mpitrain", "tests", "tools")


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a "wheel" or an "sdist" of ``source`` into ``target`` without network, as pip does."""
    command = [sys.executable, "-c", HOOK, f"build_{kind}", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of the checkout."""
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that a source distribution of the checkout unpacks to."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, folder)) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"mpitrain-{mpitrain.__version__}"


def files_in(*folders: Path) -> set[str]:
    """Return the files below folders of the checkout or of a copy, without what Python caches."""
    return {
        path.relative_to(folder.parent).as_posix()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def contents_of(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata_of(wheel: Path) -> Message:
    """Return what a wheel says of itself."""
    contents = contents_of(wheel)
    name = next(name for name in contents if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(contents[name].decode())


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Every file of the package, data and type marker too, and of jobs/; no tests, no tools."""
    names = {name for name in contents_of(wheel) if ".dist-info/" not in name}
    jobs = {f"mpitrain/{name}" for name in files_in(ROOT / "jobs")}
    assert names == files_in(ROOT / "mpitrain") | jobs
    assert {"mpitrain/data/digits.h5", "mpitrain/py.typed", "mpitrain/jobs/train.sbatch"} <= names


def test_wheel_says_what_it_is(wheel: Path) -> None:
    """Version, licence with its text, command and every extra that the README names."""
    metadata, contents = metadata_of(wheel), contents_of(wheel)
    about = f"mpitrain-{mpitrain.__version__}.dist-info"
    assert metadata["Version"] == mpitrain.__version__
    assert metadata["License-Expression"] == "BSD-3-Clause AND CC-BY-4.0"
    assert contents[f"{about}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert b"mpitrain = mpitrain.__main__:main" in contents[f"{about}/entry_points.txt"]
    named = re.findall(r"'\.\[([a-z,]+)\]'", (ROOT / "README.md").read_text(encoding="utf-8"))
    extras = {extra for words in named for extra in words.split(",")}
    assert extras
    assert extras <= set(metadata.get_all("Provides-Extra", []))


def test_sdist_holds_what_building_and_testing_need(sdist: Path) -> None:
    """Package, tests, tools, run files, Makefile and checks, each as in the checkout."""
    wanted = {*TOP, *files_in(*(ROOT / folder for folder in FOLDERS))}
    found = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    assert found - wanted == {".gitignore", "PKG-INFO"}
    assert not wanted - found
    changed = [name for name in wanted if (sdist / name).read_bytes() != (ROOT / name).read_bytes()]
    assert not changed


def test_wheel_of_the_sdist_is_the_wheel_of_the_checkout(
    wheel: Path, sdist: Path, tmp_path: Path
) -> None:
    """Who builds from the source distribution gets the same bytes."""
    assert contents_of(build("wheel", sdist, tmp_path)) == contents_of(wheel)


def test_citation_and_changelog_name_this_version() -> None:
    """A release that forgets one of them fails here."""
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^(?:cff-)?version: (.+)$", citation, re.MULTILINE) == [
        "1.2.0",
        mpitrain.__version__,
    ]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = re.search(r"^## \[(.+)\]", changes, re.MULTILINE)
    assert heading is not None
    assert heading[1] in ("Unreleased", mpitrain.__version__)
