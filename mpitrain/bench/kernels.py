"""What fused updates cost, beside a copy of as many bytes as they must move.

On CUDA where CuPy finds a device, else on the CPU by each twin there is. Beside every update stand
the same operations one by one and, where PyTorch is installed, PyTorch's fused step on the same
vectors; all in turn.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mpitrain.bench.other_kernels import other_kernels
from mpitrain.bench.timing import Action, Copy, row, times_of
from mpitrain.core.arrays import Array
from mpitrain.core.errors import UserError
from mpitrain.kernels.program import NUMPY_NAMES, Program
from mpitrain.kernels.twins import SquaredNorm, Twin, device_twin, host_twin
from mpitrain.optim.adagrad import Adagrad
from mpitrain.optim.adam import Adam
from mpitrain.optim.adamw import AdamW
from mpitrain.optim.base import Optimizer
from mpitrain.optim.compensation import Compensation
from mpitrain.optim.dana_slim import DanaSlim
from mpitrain.optim.dc_asgd import DcAsgdA, DcAsgdC
from mpitrain.optim.fused import NOTHING, FusedUpdate, update_program, update_scalars
from mpitrain.optim.gap_aware import GapAware
from mpitrain.optim.momentum import Momentum
from mpitrain.optim.nesterov import Nesterov
from mpitrain.optim.rmsprop import RmsProp
from mpitrain.optim.sgd import Sgd

CPU_MIB, CUDA_MIB = 64, 256  # of each vector, float32
STEP, CLOCK, TAU = 1e-5, 9, 3
MOST_VECTORS = 10  # that an update moves: momentum with gap-aware or dc_asgd_a, nine

OPTIMIZERS: tuple[Optimizer, ...] = (
    Sgd(),
    Momentum(),
    Nesterov(),
    Adam(),
    AdamW(),
    Adagrad(),
    RmsProp(),
)
COMPENSATIONS: tuple[Compensation, ...] = (GapAware(), DcAsgdC(), DcAsgdA(), DanaSlim())

# what is done in one pass, as ``optim.fused`` calls it, and whether squares are summed
FORMS: dict[str, tuple[dict[str, bool], bool]] = {
    "change": ({"finishes": False}, False),
    "apply": ({"finishes": False, "applies": True}, False),
    "apply_norm": ({"finishes": False, "applies": True}, True),
    "shard": ({}, True),  # in a write section, compensation and all
}


def measure(mib: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield one row per kernel and twin: median microseconds of all that is compared, and ratios.

    ``of_copy`` is copy / fused: 1 means that the kernel moves its bytes as fast as a copy moves
    them. ``faster`` is unfused / fused.

    Args:
        mib: size of each vector; default 64 on the CPU and 256 on a device.
    """
    twins = _twins()
    xp = twins[0].xp
    mib = mib or (CPU_MIB if xp is np else CUDA_MIB)
    vectors = _Vectors(xp, (mib << 20) // 4)
    common = {"device": _name(xp), "mib": mib}
    for twin in twins:
        about = {**common, "twin": twin.label}
        yield {**about, "kernel": "squared_norm", **_squared_norm(vectors, twin)}
        for optimizer in OPTIMIZERS:
            for form in ("change", "apply", "apply_norm"):
                figures = _update(vectors, twin, optimizer, NOTHING, form)
                yield {**about, "kernel": _word(optimizer), "form": form, **figures}
        for compensation in COMPENSATIONS:
            optimizer = Sgd() if isinstance(compensation, DanaSlim) else Momentum()
            figures = _update(vectors, twin, optimizer, compensation, "shard")
            name = f"{_word(optimizer)} {_word(compensation)}"
            yield {**about, "kernel": name, "form": "shard", **figures}
    about = {**common, "twin": twins[0].label}
    for figures in other_kernels(xp, mib):
        yield {**about, **figures}


class _Vectors:
    """All memory of the measurement.

    Attributes:
        xp: its array module.
        num: elements of a vector.
        size_bytes: of a vector.
    """

    def __init__(self, xp: Any, num: int) -> None:
        self.xp = xp
        self.num = num
        self.size_bytes = 4 * num
        self.gradient = xp.asarray(np.random.default_rng(0).standard_normal(num, np.float32))
        self.parameters = self.gradient[::-1].copy()
        self.present = self.parameters + np.float32(1e-3)
        self.change = xp.empty(num, np.float32)
        self._copy = Copy(xp, MOST_VECTORS * self.size_bytes)

    def named(self, *subjects: Optimizer | Compensation) -> dict[str, Array]:
        """Return the vectors of an update by name, with a fresh state."""
        names = ("gradient", "parameters", "present", "change")
        state = [name for subject in subjects for name in subject.state_names]
        return {
            **{name: getattr(self, name) for name in names},
            **{name: self.xp.zeros(self.num, np.float32) for name in state},
        }

    def copy(self, num_moved: int) -> Action:
        """Return a copy that reads and writes as many bytes as so many vectors have."""
        return self._copy.of(num_moved * self.size_bytes)

    def row(self, times: dict[str, float], num_moved: int) -> dict[str, Any]:
        """Return the figures of a kernel that moves so many vectors."""
        return {"vectors_moved": num_moved, **row(times, num_moved * self.size_bytes)}


def _squared_norm(vectors: _Vectors, twin: Twin) -> dict[str, Any]:
    xp, norm = vectors.xp, SquaredNorm(vectors.gradient, twin)
    times = times_of(
        xp,
        {
            "fused": norm.measure,
            "copy": vectors.copy(1),
            "unfused": lambda: xp.dot(vectors.gradient, vectors.gradient),
        },
    )
    return vectors.row(times, 1)


def _update(
    vectors: _Vectors, twin: Twin, optimizer: Optimizer, compensation: Compensation, form: str
) -> dict[str, Any]:
    xp, (parts, measures) = vectors.xp, FORMS[form]
    named = vectors.named(optimizer, compensation)
    program = update_program(optimizer, compensation, **parts, measures=measures)
    scalars = {
        **update_scalars(optimizer, STEP, CLOCK, 1 / 32),
        **compensation.scalars(TAU, CLOCK),
        "factor": 0.5,
    }
    fused = FusedUpdate(optimizer, compensation, np.float32, twin)
    run = fused.bind(named, xp.empty(1) if measures else None, **parts)
    actions = {
        "fused": lambda: run(scalars),
        "copy": vectors.copy(program.num_moved),
        "unfused": _one_by_one(program, xp, named, scalars),
    }
    if form == "apply":
        actions |= _torch_step(optimizer, vectors)
    return vectors.row(times_of(xp, actions), program.num_moved)


def _one_by_one(
    program: Program, xp: Any, named: dict[str, Array], scalars: dict[str, float]
) -> Action:
    """Return the same operations, each a pass over memory."""
    scratch = {name: xp.empty_like(named["gradient"]) for name in program.locals}
    homes = {**{name: np.float32(scalars[name]) for name in program.scalars}, **scratch, **named}
    calls = []
    for op in program.operations:
        operands = [homes[name] for name in op.operands]
        homes[op.target] = scratch.get(op.target, homes[op.target])
        calls.append((getattr(xp, NUMPY_NAMES[op.symbol]), operands, homes[op.target]))
    measured = homes.get(program.measured or "")

    def run() -> None:
        for function, operands, out in calls:
            function(*operands, out=out)
        if measured is not None:
            xp.dot(measured, measured)

    return run


def _torch_step(optimizer: Optimizer, vectors: _Vectors) -> dict[str, Action]:
    """Return PyTorch's fused step on the same memory, if it has one."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return {}
    makers: dict[type, Callable[[list[Any]], Any]] = {
        Sgd: lambda p: torch.optim.SGD(p, lr=STEP, fused=True),
        Momentum: lambda p: torch.optim.SGD(p, lr=STEP, momentum=0.9, fused=True),
        Nesterov: lambda p: torch.optim.SGD(p, lr=STEP, momentum=0.9, nesterov=True, fused=True),
        Adam: lambda p: torch.optim.Adam(p, lr=STEP, fused=True),
        AdamW: lambda p: torch.optim.AdamW(p, lr=STEP, weight_decay=0.01, fused=True),
        Adagrad: lambda p: torch.optim.Adagrad(p, lr=STEP, fused=True),
    }
    is_on_device = vectors.xp is not np
    if type(optimizer) not in makers or (is_on_device and not torch.cuda.is_available()):
        return {}
    torch.set_num_threads(1)
    tensor = torch.nn.Parameter(torch.from_dlpack(vectors.parameters))
    tensor.grad = torch.from_dlpack(vectors.gradient)
    try:
        step = makers[type(optimizer)]([tensor]).step
        step()  # some say it only now
    except (RuntimeError, NotImplementedError):  # of this kind of device there is none
        return {}
    return {"torch": step}


def _twins() -> list[Twin]:
    """Return CUDA where CuPy finds a device, else all on the host."""
    try:
        twin = device_twin()
    except UserError:
        twin = None
    if twin is not None and twin.xp.cuda.is_available():
        return [twin]
    numpy, best = host_twin("numpy"), host_twin()
    return [numpy] if best.name == numpy.name else [numpy, best]


def _name(xp: Any) -> str:
    if xp is np:
        return "cpu"
    return str(xp.cuda.runtime.getDeviceProperties(0)["name"].decode())


def _word(subject: Optimizer | Compensation) -> str:
    return type(subject).__name__.lower()
