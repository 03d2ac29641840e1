from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mpitrain.core.gpu import GpuFacts, cuda_version, gpu_facts
from tests.fake_cupy import install


def forget_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next import find CuPy anew; what it finds is forgotten after the test."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, "cupy")


def test_gpus_are_found_by_their_device_files(tmp_path: Path) -> None:
    """Only devices count, not the driver's other files; without a driver its version is unknown."""
    for name in ("nvidia0", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    facts = gpu_facts(tmp_path, driver="libnot-there.so.1")
    assert (facts.devices, facts.driver_cuda) == (("nvidia0", "nvidia10"), None)


def test_gpus_are_none_where_there_is_nothing(tmp_path: Path) -> None:
    """A missing folder is no error."""
    facts = gpu_facts(tmp_path / "none", driver="libnot-there.so.1")
    assert (facts.devices, facts.driver_cuda) == ((), None)


def test_library_that_is_no_driver_gives_no_version(tmp_path: Path) -> None:
    """It lacks the driver's function."""
    assert gpu_facts(tmp_path, driver="libc.so.6").driver_cuda is None


def test_cupy_that_is_installed_but_cannot_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name and version of the package, and why it does not load."""
    package = tmp_path / "cupy_cuda12x-13.3.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: cupy-cuda12x\nVersion: 13.3.0\n")
    (tmp_path / "cupy.py").write_text(
        "raise ImportError('advice' * 99) from OSError('no libnvrtc')\n"
    )
    (tmp_path / "nvidia0").touch()
    monkeypatch.syspath_prepend(tmp_path)
    facts = gpu_facts(tmp_path, driver="libnot-there.so.1")
    assert (facts.cupy, facts.cupy_cuda) == ("cupy-cuda12x 13.3.0", None)
    assert facts.cupy_error == "no libnvrtc"


def test_cupy_that_loads_tells_its_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime's number is taken apart; a device that cannot be reached is an error."""
    package = tmp_path / "cupy-14.0.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: cupy\nVersion: 14.0.0\n")
    (tmp_path / "cupy.py").write_text(
        "class cuda:\n"
        "    class runtime:\n"
        "        runtimeGetVersion = staticmethod(lambda: 13010)\n"
        "        def getDeviceCount(): raise RuntimeError('driver is too old')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nvidia0").touch()
    forget_cupy(monkeypatch)
    facts = gpu_facts(tmp_path, driver="libnot-there.so.1")
    assert (facts.cupy, facts.cupy_cuda) == ("cupy 14.0.0", (13, 1))
    assert (facts.cupy_error, facts.num_visible) == ("driver is too old", None)


def test_gpus_that_cupy_sees_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden ones make a count of 0, as the runtime's own error says."""
    package = tmp_path / "cupy_cuda12x-14.2.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: cupy-cuda12x\nVersion: 14.2.0\n")
    (tmp_path / "nvidia0").touch()
    monkeypatch.syspath_prepend(tmp_path)
    fake = install(monkeypatch, num=2)
    seen = gpu_facts(tmp_path, driver="libnot-there.so.1", environ={})
    assert (seen.num_visible, seen.visible, seen.cupy_error) == (2, None, "")

    def count() -> int:
        message = "cudaErrorNoDevice: no CUDA-capable device is detected"
        raise RuntimeError(message)

    fake.cuda.runtime.getDeviceCount = count
    environ = {"CUDA_VISIBLE_DEVICES": "9"}
    hidden = gpu_facts(tmp_path, driver="libnot-there.so.1", environ=environ)
    assert (hidden.num_visible, hidden.visible) == (0, "9")


def test_cupy_is_not_loaded_where_there_is_neither_gpu_nor_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be installed on every machine of a cluster; loading it takes a second."""
    package = tmp_path / "cupy-14.2.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: cupy\nVersion: 14.2.0\n")
    (tmp_path / "cupy.py").write_text("raise AssertionError\n")
    monkeypatch.syspath_prepend(tmp_path)
    forget_cupy(monkeypatch)
    environ = {"CUDA_VISIBLE_DEVICES": ""}
    facts = gpu_facts(tmp_path, driver="libnot-there.so.1", environ=environ)
    assert facts == GpuFacts(visible="")


@pytest.mark.parametrize(("number", "version"), [(12040, (12, 4)), (11080, (11, 8))])
def test_cuda_number_is_major_and_minor(number: int, version: tuple[int, int]) -> None:
    """1000 * major + 10 * minor."""
    assert cuda_version(number) == version
