"""Runs CUDA text on the CPU: what the package asks of CuPy, with NumPy's arrays and g++."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

COMPILER = shutil.which("g++")
HEADER = Path(__file__).with_name("emulation.h")
KERNELS = "MPITRAIN_TEST_KERNELS"  # folder for what is compiled, of all processes of a session
OPTIONS = ("-std=c++17", "-O1", "-ffp-contract=off", "-Wno-unknown-pragmas", "-shared", "-fPIC")

HEAD = r'extern "C" __global__ void __launch_bounds__\(\w+\) (\w+)\((.*?)\)\n'
KERNEL = re.compile(HEAD, re.DOTALL)
NAMED_TYPE = re.compile(r"typedef ([\w ]+) (\w+);")
SCALARS = {
    "long long": (ctypes.c_longlong, np.int64),
    "int": (ctypes.c_int, np.int32),
    "float": (ctypes.c_float, np.float32),
    "double": (ctypes.c_double, np.float64),
}
# instructions of a GPU, and the same for the compiler
INSTRUCTION = re.compile(r'asm\("(.*?)" : "=f"\((\w+)\) : "f"\((\w+)\)(?:, "f"\((\w+)\))?\);')
EXPRESSIONS = {
    "mul.rn.f32 %0, %1, %2;": "{0} * {1}",
    "add.rn.f32 %0, %1, %2;": "{0} + {1}",
    "sub.rn.f32 %0, %1, %2;": "{0} - {1}",
    "div.rn.f32 %0, %1, %2;": "{0} / {1}",
    "{.reg .pred p; setp.gt.f32 p, %1, %2; selp.f32 %0, %2, %1, p;}": "{0} > {1} ? {1} : {0}",
    "sqrt.rn.f32 %0, %1;": "std::sqrt({0})",
    "abs.f32 %0, %1;": "std::fabs({0})",
}


class Memory(NamedTuple):
    """Where an array lies."""

    ptr: int


class DeviceArray(np.ndarray):
    """NumPy's array with the address where CuPy has it."""

    @property
    def data(self) -> Any:
        """Return where the first element lies."""
        return Memory(self.ctypes.data)


class Emulation:
    """Stands for CuPy."""

    __version__ = "emulated"

    def __init__(self) -> None:
        self._modules: dict[str, RawModule] = {}

    def RawModule(self, *, code: str, options: tuple[str, ...]) -> RawModule:  # CuPy's name
        """Return the compiled source."""
        assert "--fmad=false" in options
        if code not in self._modules:
            self._modules[code] = RawModule(code)
        return self._modules[code]

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        """Return a copy at a multiple of 16 bytes, as CuPy's arrays are."""
        values = np.asarray(values, dtype)
        memory = np.empty(values.nbytes + 16, np.uint8)
        start = -memory.ctypes.data % 16
        array = memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
        array[...] = values
        return array.view(DeviceArray)

    def full(self, shape: Any, value: Any, dtype: Any = np.float64) -> Any:
        """Return an array of equal elements."""
        return self.asarray(np.full(shape, value, dtype))

    def empty(self, shape: Any, dtype: Any = np.float64) -> Any:
        """Return an array of which nothing is known: full of 0xff, which is NaN."""
        array = self.asarray(np.empty(shape, dtype))
        array.reshape(-1).view(np.uint8)[...] = 0xFF
        return array

    def zeros(self, shape: Any, dtype: Any = np.float64) -> Any:
        """Return an array of zeros."""
        return self.full(shape, 0, dtype)

    def ones(self, shape: Any, dtype: Any = np.float64) -> Any:
        """Return an array of ones."""
        return self.full(shape, 1, dtype)

    def asnumpy(self, array: Any) -> Any:
        """Return NumPy's own array."""
        return np.array(array)


class RawModule:
    """A source, compiled for the CPU."""

    def __init__(self, code: str) -> None:
        code = INSTRUCTION.sub(_expression, code)
        self._arguments = {
            name: [argument.strip() for argument in given.split(",")]
            for name, given in KERNEL.findall(code)
        }
        self._named_types = {name: kind for kind, name in NAMED_TYPE.findall(code)}
        starts = "".join(_start(name, given) for name, given in self._arguments.items())
        library = compiled(f'#include "{HEADER}"\n{code}{starts}')
        self._library = ctypes.CDLL(str(library))

    def get_function(self, name: str) -> Any:
        """Return a function that starts a kernel and returns when it has ended."""
        start: Any = self._library[f"start_{name}"]
        start.restype = ctypes.c_bool
        declared = [self._type(argument) for argument in self._arguments[name]]

        def launch(blocks: tuple[int], threads: tuple[int], arguments: tuple[Any, ...]) -> None:
            typed = [_typed(*pair) for pair in zip(declared, arguments, strict=True)]
            assert start(ctypes.c_uint(*blocks), ctypes.c_uint(*threads), *typed), "a deadlock"

        return launch

    def _type(self, argument: str) -> str:
        """Return the type of an argument, "*" for any pointer."""
        if "*" in argument:
            return "*"
        name = argument.removeprefix("const ").split()[0]
        return self._named_types.get(name, name)


def compiled(text: str) -> Path:
    """Return the library of a text; the first process of a session that asks compiles it."""
    name = hashlib.sha256(text.encode()).hexdigest()
    folder = Path(os.environ[KERNELS])
    source, library = folder / f"{name}.cpp", folder / f"{name}.so"
    with source.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not library.exists():
            file.truncate(0)
            file.write(text)
            file.flush()
            begun = folder / f"{name}.begun"
            subprocess.run([str(COMPILER), *OPTIONS, "-o", begun, source], check=True)
            begun.rename(library)
    return library


def _expression(instruction: re.Match[str]) -> str:
    """Return C for an instruction of a GPU."""
    text, result, *operands = instruction.groups()
    return f"{result} = {EXPRESSIONS[text].format(*operands)};"


def _start(name: str, given: list[str]) -> str:
    """Return the text of a C function that runs one kernel."""
    names = ", ".join(argument.split()[-1] for argument in given)
    return (
        f'extern "C" bool start_{name}(unsigned blocks, unsigned width_, {", ".join(given)})\n'
        f"{{ return run(blocks, width_, [=] {{ {name}({names}); }}); }}\n"
    )


def _typed(declared: str, argument: Any) -> Any:
    """Return an argument for C; one of another type would be misread by a GPU, too."""
    if declared == "*":
        assert isinstance(argument, DeviceArray)
        return ctypes.c_void_p(argument.data.ptr)
    c_type, own_type = SCALARS[declared]
    assert isinstance(argument, own_type)
    return c_type(argument.item())
