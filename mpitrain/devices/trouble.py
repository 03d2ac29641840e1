"""Why there is no GPU to compute on, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from mpitrain.core.gpu import VISIBLE, GpuFacts


@dataclass(frozen=True)
class Trouble:
    """What is wrong with the GPUs here.

    Attributes:
        what: in a few words.
        remedy: what to do.
    """

    what: str
    remedy: str


def trouble_of(facts: GpuFacts) -> Trouble | None:
    """Return why no GPU can be used, None where one can."""
    if not facts.devices and facts.driver_cuda is None:
        return Trouble("no NVIDIA GPU is there", "take a node with an NVIDIA GPU")
    if facts.driver_cuda is None:
        return Trouble(
            "no driver library (libcuda.so.1) is there",
            "install the NVIDIA driver, or give the container its libraries (--gpus all, --nv)",
        )
    if not facts.devices and not facts.num_visible:
        return _not_given()
    if facts.visible is not None and not facts.visible.strip():
        return _hidden(facts.visible)
    return _trouble_of_cupy(facts, facts.driver_cuda)


def cupy_fails(facts: GpuFacts, error: str) -> Trouble:
    """Return the trouble of a CuPy that is there and cannot compute.

    Args:
        facts: what was found.
        error: its words.
    """
    name = facts.cupy.partition(" ")[0] or "cupy"
    remedy = f"pip uninstall {name}; {_install(facts.driver_cuda)}"
    return Trouble(f"{facts.cupy or 'CuPy'} fails: {error}", remedy)


def _trouble_of_cupy(facts: GpuFacts, driver: tuple[int, int]) -> Trouble | None:
    if not facts.cupy:
        return Trouble("CuPy is not installed", _install(driver))
    if facts.cupy_cuda is not None and facts.cupy_cuda[0] > driver[0]:
        what = f"{facts.cupy} is for CUDA {_text(facts.cupy_cuda)}, the driver for {_text(driver)}"
        name = facts.cupy.partition(" ")[0]
        return Trouble(what, f"pip uninstall {name}; {_install(driver)}, or a newer driver")
    if facts.num_visible == 0 and facts.visible is not None:
        return _hidden(facts.visible)
    if facts.num_visible == 0:  # the system hides it, as Slurm does by cgroups
        return _not_given()
    return cupy_fails(facts, facts.cupy_error) if facts.cupy_error else None


def _not_given() -> Trouble:
    return Trouble(
        "no GPU is given to this process",
        "ask for one (srun --gpus-per-task=1), or start the container with --gpus all",
    )


def _hidden(visible: str) -> Trouble:
    said = f"{visible.strip()!r}" if visible.strip() else "empty"
    return Trouble(
        f"{VISIBLE} is {said}, so no GPU is visible",
        f"unset {VISIBLE}, or under Slurm ask for --gpus-per-task=1 without --gpu-bind=none",
    )


def _install(driver: tuple[int, int] | None) -> str:
    major = 12 if driver is None else driver[0]
    return f"pip install 'cupy-cuda{major}x[ctk]'"


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
