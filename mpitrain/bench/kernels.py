"""What fused updates cost, beside a copy of as many bytes as they must move.

On CUDA where CuPy finds a device, else on the CPU. Beside every update stand the optimiser's own
passes and, where PyTorch has it on a device, PyTorch's fused step on the same vectors; all in turn.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mpitrain.core.arrays import Array, array_module
from mpitrain.core.errors import UserError
from mpitrain.kernels.formulas import update_program
from mpitrain.kernels.fused import FusedUpdate, SquaredNorm
from mpitrain.optim.adagrad import Adagrad
from mpitrain.optim.adam import Adam
from mpitrain.optim.adamw import AdamW
from mpitrain.optim.base import Optimizer
from mpitrain.optim.momentum import Momentum
from mpitrain.optim.nesterov import Nesterov
from mpitrain.optim.rmsprop import RmsProp
from mpitrain.optim.sgd import Sgd

CPU_MIB, CUDA_MIB = 64, 256  # of each vector, float32
STEP = 1e-5
MOST_VECTORS = 7  # that an update moves: adam reads four and writes three
CPU_ROUNDS, CUDA_ROUNDS = 5, 15
CUDA_REPEATS = 6  # calls per timing: the device works on one while the next is prepared

OPTIMIZERS: tuple[Optimizer, ...] = (
    Sgd(),
    Momentum(),
    Nesterov(),
    Adam(),
    AdamW(),
    Adagrad(),
    RmsProp(),
)

# write the change, add it to the parameters, add it and sum its squares
FORMS = ("change", "apply", "apply_norm")

Action = Callable[[], object]


def measure(mib: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield one row per kernel: median microseconds of all that is compared, and two ratios.

    ``of_copy`` is copy / fused: 1 means that the kernel moves its bytes as fast as a copy moves
    them. ``faster`` is unfused / fused.

    Args:
        mib: size of each vector; default 64 on the CPU and 256 on a device.
    """
    xp = _module()
    mib = mib or (CPU_MIB if xp is np else CUDA_MIB)
    vectors = _Vectors(xp, (mib << 20) // 4)
    common = {"device": _name(xp), "mib": mib}
    yield {**common, "kernel": "squared_norm", **_squared_norm(vectors)}
    for optimizer in OPTIMIZERS:
        for form in FORMS:
            name = type(optimizer).__name__.lower()
            figures = _update(vectors, optimizer, form)
            yield {**common, "kernel": name, "form": form, **figures}


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
        self.out = xp.empty(num, np.float32)
        self._copies = [xp.ones(MOST_VECTORS * num // 2, np.float32) for _ in range(2)]

    def copy(self, num_moved: int) -> Action:
        """Return a copy that reads and writes as many bytes as so many vectors have."""
        source, target = (array[: num_moved * self.num // 2] for array in self._copies)
        return lambda: self.xp.copyto(target, source)


def _squared_norm(vectors: _Vectors) -> dict[str, Any]:
    xp = vectors.xp
    norm, out = SquaredNorm(np.float32, xp), xp.empty(1)
    times = _times(
        xp,
        {
            "fused": lambda: norm.measure_into(vectors.gradient, out),
            "copy": vectors.copy(1),
            "unfused": lambda: xp.dot(vectors.gradient, vectors.gradient),
        },
    )
    return _row(times, 1, vectors.size_bytes)


def _update(vectors: _Vectors, optimizer: Optimizer, form: str) -> dict[str, Any]:
    xp, gradient, parameters, out = vectors.xp, vectors.gradient, vectors.parameters, vectors.out
    applies = form != "change"
    squared = xp.empty(1) if form == "apply_norm" else None
    fused = FusedUpdate(optimizer, np.float32, xp)
    state = optimizer.init(vectors.num, np.float32, xp)
    program = update_program(optimizer, applies=applies, measures=squared is not None)
    num_moved = len(program.loads) + len(program.stores)

    def run() -> None:
        if applies:
            fused.apply(state, gradient, parameters, STEP, 9, squared=squared)
        else:
            fused.update_into(state, gradient, parameters, STEP, 9, out)

    def run_unfused() -> None:
        optimizer.update_into(state, gradient, parameters, STEP, 9, out)
        if applies:
            xp.add(parameters, out, out=parameters)
        if squared is not None:
            xp.dot(out, out)

    actions = {"fused": run, "copy": vectors.copy(num_moved), "unfused": run_unfused}
    if form == "apply" and xp is not np:
        actions |= _torch_step(optimizer, gradient, parameters)
    return _row(_times(xp, actions), num_moved, vectors.size_bytes)


def _torch_step(optimizer: Optimizer, gradient: Array, parameters: Array) -> dict[str, Action]:
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
    }
    if type(optimizer) not in makers or not torch.cuda.is_available():
        return {}
    tensor = torch.nn.Parameter(torch.from_dlpack(parameters))
    tensor.grad = torch.from_dlpack(gradient)
    return {"torch": makers[type(optimizer)]([tensor]).step}


def _row(times: dict[str, float], num_moved: int, size_bytes: int) -> dict[str, Any]:
    return {
        "vectors_moved": num_moved,
        **{f"{name}_us": seconds * 1e6 for name, seconds in times.items()},
        "fused_gb_s": num_moved * size_bytes / times["fused"] / 1e9,
        "of_copy": times["copy"] / times["fused"],
        "faster": times["unfused"] / times["fused"],
    }


def _times(xp: Any, actions: dict[str, Action]) -> dict[str, float]:
    """Return the median seconds of each action; they take turns, now forwards, now backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for number in range(CPU_ROUNDS if xp is np else CUDA_ROUNDS):
        for name in sorted(actions, reverse=bool(number % 2)):
            timer = _cpu_seconds if xp is np else _cuda_seconds
            seconds[name].append(timer(actions[name]))
    return {name: statistics.median(values) for name, values in seconds.items()}


def _cpu_seconds(action: Action) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _cuda_seconds(action: Action) -> float:
    cuda = array_module("cuda").cuda
    began, ended = cuda.Event(), cuda.Event()
    began.record()
    for _ in range(CUDA_REPEATS):
        action()
    ended.record()
    ended.synchronize()
    return float(cuda.get_elapsed_time(began, ended)) * 1e-3 / CUDA_REPEATS


def _module() -> Any:
    """Return CuPy where it finds a device, else NumPy."""
    try:
        xp = array_module("cuda")
    except UserError:
        return np
    return xp if xp.cuda.is_available() else np


def _name(xp: Any) -> str:
    if xp is np:
        return "cpu"
    return str(xp.cuda.runtime.getDeviceProperties(0)["name"].decode())
