"""The CUDA text of a program: its lines, between loads and stores of 16 bytes.

Compiled with OPTIONS every operation rounds as NumPy's does: multiplications and additions are not
contracted, and division and root are correctly rounded, which is the compiler's default.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import Template

import numpy as np
import numpy.typing as npt

from mpitrain.kernels.program import Operation, Program

NAME = "fused"
OPTIONS = ("--std=c++17", "--fmad=false")
THREADS = 256  # in a block, a power of two

_TYPES = {"float32": "float", "float64": "double"}
_FUNCTIONS = {"sqrt": "sqrt", "abs": "fabs", "min": "smaller"}

_KERNEL = Template("""\
typedef $type real;
typedef long long size;
union Pack { float4 whole; real at[16 / sizeof(real)]; };
const int width = 16 / sizeof(real);
const int threads = $threads;
__device__ inline real smaller(real a, real b) { return a > b ? b : a; }  // NaN stays
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

# Squares are added up in the vectors' type inside a pack and as float64 from there on.
_SUM_FUNCTION = """
__device__ double block_sum(double value)
{
    __shared__ double sums[threads];
    sums[threadIdx.x] = value;
    for (int half = threads / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    __syncthreads();
    return sums[0];
}
"""

# The block that finishes last adds the sums of all blocks, in the blocks' order and not in that of
# their finishing, and the counter is back at 0 for the next launch.
_SUM_END = """
    const double own = block_sum(total);
    __shared__ bool is_last;
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = own;
        __threadfence();
        is_last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    double share = 0;
    for (unsigned block = threadIdx.x; block < gridDim.x; block += threads)
        share += __ldcg(partial + block);
    const double all = block_sum(share);
    if (threadIdx.x == 0) squared[0] = all;
"""


def cuda_source(program: Program, dtype: npt.DTypeLike) -> str:
    """Return the text of one kernel, ``fused``.

    It takes the program's vectors, its scalars, then ``head``, ``num_packs`` and ``num_single``
    (head and tail) as 64-bit integers, and if it measures: one float64 per block, a zero counter,
    and where the sum goes.
    """
    loads, stores = program.loads, program.stores
    outputs = [name for name in program.vectors if name not in loads]
    measures = program.measured is not None
    return _KERNEL.substitute(
        type=_TYPES[np.dtype(dtype).name],
        threads=THREADS,
        functions=_SUM_FUNCTION if measures else "",
        arguments=_arguments(program),
        element_arguments=_element_arguments(program),
        body=_block(_body(program)),
        begin="double total = 0;" if measures else "",
        begin_pack="real squares = 0;" if measures else "",
        load_packs=_block([*map(_load_pack, loads), *(f"Pack {name}_;" for name in outputs)]),
        run_in_pack=_run(program, "_.at[k]", "squares"),
        store_packs=_block(map(_store_pack, stores)),
        end_pack="total += squares;" if measures else "",
        load_single=_block(
            [*(f"real {n}_ = {n}[at];" for n in loads), *(f"real {n}_;" for n in outputs)]
        ),
        run_single=_run(program, "_", "total"),
        store_single=_block(f"{name}[at] = {name}_;" for name in stores),
        end=_SUM_END if measures else "",
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
    if len(op.operands) == 1 or op.symbol == "min":
        return f"{_FUNCTIONS[op.symbol]}({', '.join(op.operands)})"
    return f" {op.symbol} ".join(op.operands)


def _run(program: Program, suffix: str, total: str) -> str:
    """Return the call of ``element`` on what was loaded; its result's square is added up."""
    call = f"element({', '.join(name + suffix for name in program.vectors)})"
    if program.measured is None:
        return f"{call};"
    return f"const real value = {call}; {total} += value * value;"


def _load_pack(name: str) -> str:
    return f"Pack {name}_; {name}_.whole = reinterpret_cast<const float4*>({name} + head)[turn];"


def _store_pack(name: str) -> str:
    return f"reinterpret_cast<float4*>({name} + head)[turn] = {name}_.whole;"


def _block(lines: Iterable[str]) -> str:
    return ("\n" + " " * 8).join(lines)
