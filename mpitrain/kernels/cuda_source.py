"""The CUDA text of a program: its lines, between loads and stores of 16 bytes.

Every operation rounds as NumPy's does. With OPTIONS multiplications and additions are not
contracted, and division and root are correctly rounded, which is the compiler's default. Float32
operations are instructions written out, because CuPy lets its compiler take numbers nearer to 0
than 1.2e-38 for 0 in operations of its own choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import Template

import numpy as np
import numpy.typing as npt

from mpitrain.kernels.ordered_sum import FUNCTION
from mpitrain.kernels.program import Operation, Program

NAME = "fused"
OPTIONS = ("--std=c++17", "--fmad=false")
THREADS = 256  # in a block, a power of two

_TYPES = {"float32": ("float", "float4"), "float64": ("double", "double2")}
_NAMES = {
    "*": "multiply",
    "+": "add",
    "-": "subtract",
    "/": "divide",
    "sqrt": "square_root",
    "abs": "magnitude",
    "min": "smaller",
}

# of the smaller: NaN stays where it comes first, as in NumPy
_FLOAT64_OPERATIONS = """
__device__ inline real multiply(real a, real b) { return a * b; }
__device__ inline real add(real a, real b) { return a + b; }
__device__ inline real subtract(real a, real b) { return a - b; }
__device__ inline real divide(real a, real b) { return a / b; }
__device__ inline real square_root(real a) { return sqrt(a); }
__device__ inline real magnitude(real a) { return fabs(a); }
__device__ inline real smaller(real a, real b) { return a > b ? b : a; }
"""
_TWO = """
__device__ inline real {}(real a, real b)
{{
    real result;
    asm("{}" : "=f"(result) : "f"(a), "f"(b));
    return result;
}}
"""
_ONE = """
__device__ inline real {}(real a)
{{
    real result;
    asm("{}" : "=f"(result) : "f"(a));
    return result;
}}
"""
_FLOAT32_OPERATIONS = "".join(
    [
        _TWO.format("multiply", "mul.rn.f32 %0, %1, %2;"),
        _TWO.format("add", "add.rn.f32 %0, %1, %2;"),
        _TWO.format("subtract", "sub.rn.f32 %0, %1, %2;"),
        _TWO.format("divide", "div.rn.f32 %0, %1, %2;"),
        _TWO.format("smaller", "{.reg .pred p; setp.gt.f32 p, %1, %2; selp.f32 %0, %2, %1, p;}"),
        _ONE.format("square_root", "sqrt.rn.f32 %0, %1;"),
        _ONE.format("magnitude", "abs.f32 %0, %1;"),
    ]
)

_KERNEL = Template("""\
typedef $type real;
typedef long long size;
typedef $wide wide;  // of the same type, or packs would go through memory
union Pack { wide whole; real at[16 / sizeof(real)]; };
const int width = 16 / sizeof(real);
const int threads = $threads;
$operations
$functions
extern "C" __global__ void __launch_bounds__(threads) fused(
    $arguments)
{
    const auto element = [&]($element_arguments) {
        $body
    };
    const size first = blockIdx.x * size(threads) + threadIdx.x;
    const size stride = gridDim.x * size(threads);
    $begin
    #pragma unroll 1
    for (size turn = first; turn < num_packs; turn += stride) {
        $begin_pack
        $load_packs
        #pragma unroll
        for (int k = 0; k < width; ++k) {
            $run_in_pack
        }
        $store_packs
        $end_pack
    }
    #pragma unroll 1
    for (size turn = first; turn < num_single; turn += stride) {
        const size at = turn < head ? turn : turn + num_packs * width;
        $load_single
        $run_single
        $store_single
    }
    $end
}
""")


def cuda_source(program: Program, dtype: npt.DTypeLike) -> str:
    """Return the text of one kernel, ``fused``.

    It takes the program's vectors, its scalars, then ``head``, ``num_packs`` and ``num_single``
    (head and tail) as 64-bit integers, and if it measures: one float64 per block, a zero counter,
    and where the sum goes.
    """
    loads, stores = program.loads, program.stores
    outputs = [name for name in program.vectors if name not in loads]
    measures = program.measured is not None
    real, wide = _TYPES[np.dtype(dtype).name]
    return _KERNEL.substitute(
        type=real,
        wide=wide,
        threads=THREADS,
        operations=_FLOAT32_OPERATIONS if real == "float" else _FLOAT64_OPERATIONS,
        functions=FUNCTION if measures else "",
        arguments=_arguments(program),
        element_arguments=_element_arguments(program),
        body=_block(_body(program)),
        begin="double sum = 0;" if measures else "",
        begin_pack="real squares = 0;" if measures else "",
        load_packs=_block([*map(_load_pack, loads), *(f"Pack {name}_;" for name in outputs)]),
        run_in_pack=_run(program, "_.at[k]", "squares"),
        store_packs=_block(map(_store_pack, stores)),
        end_pack="sum += squares;" if measures else "",
        load_single=_block(
            [*(f"real {n}_ = {n}[at];" for n in loads), *(f"real {n}_;" for n in outputs)]
        ),
        run_single=_run(program, "_", "sum"),
        store_single=_block(f"{name}[at] = {name}_;" for name in stores),
        end="launch_sum(sum, partial, counter, squared);" if measures else "",
    )


def _arguments(program: Program) -> str:
    arguments = [
        f"real* __restrict__ {name}"
        if name in program.stores
        else f"const real* __restrict__ {name}"
        for name in program.vectors
    ]
    arguments += [f"const real {name}" for name in program.scalars]
    arguments += ["const size head", "const size num_packs", "const size num_single"]
    if program.measured is not None:
        arguments += ["double* partial", "unsigned* counter", "double* squared"]
    return ",\n    ".join(arguments)


def _element_arguments(program: Program) -> str:
    return ", ".join(
        f"real& {name}" if name in program.stores else f"real {name}" for name in program.vectors
    )


def _body(program: Program) -> Iterable[str]:
    inner = [name for name in program.locals if name not in program.vectors]
    if inner:
        yield f"real {', '.join(inner)};"
    yield from (f"{op.target} = {_expression(op)};" for op in program.operations)
    if program.measured is not None:
        yield f"return {program.measured};"


def _expression(op: Operation) -> str:
    return f"{_NAMES[op.symbol]}({', '.join(op.operands)})"


def _run(program: Program, suffix: str, total: str) -> str:
    """Return the call of ``element`` on what was loaded; its result's square is added up."""
    call = f"element({', '.join(name + suffix for name in program.vectors)})"
    if program.measured is None:
        return f"{call};"
    return f"const real value = {call}; {total} += value * value;"


def _load_pack(name: str) -> str:
    return f"Pack {name}_; {name}_.whole = reinterpret_cast<const wide*>({name} + head)[turn];"


def _store_pack(name: str) -> str:
    return f"reinterpret_cast<wide*>({name} + head)[turn] = {name}_.whole;"


def _block(lines: Iterable[str]) -> str:
    return ("\n" + " " * 8).join(lines)
