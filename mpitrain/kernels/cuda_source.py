"""The CUDA text of a program: its lines, between loads and stores of 16 bytes.

Compiled with OPTIONS every operation rounds as NumPy's does: multiplications and additions are not
contracted, and division and root are correctly rounded, which is the compiler's default.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import Template

import numpy as np
import numpy.typing as npt

from mpitrain.kernels.program import Program

NAME = "fused"
OPTIONS = ("--std=c++17", "--fmad=false")
THREADS = 256  # in a block, a power of two

_TYPES = {"float32": "float", "float64": "double"}

_KERNEL = Template("""\
typedef $type real;
typedef long long size;
union Pack { float4 whole; real at[16 / sizeof(real)]; };
const int width = 16 / sizeof(real);
const int threads = $threads;
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
        $load_packs
        #pragma unroll
        for (int k = 0; k < width; ++k) {
            $run_in_pack
        }
        $after_pack
        $store_packs
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
    vectors, loads, stores = program.vectors, program.loads, program.stores
    outputs = [name for name in vectors if name not in loads]
    measures = program.measured is not None
    in_pack = f"element({', '.join(f'{name}_.at[k]' for name in vectors)})"
    single = f"element({', '.join(f'{name}_' for name in vectors)})"
    return _KERNEL.substitute(
        type=_TYPES[np.dtype(dtype).name],
        threads=THREADS,
        functions=_SUM_FUNCTION if measures else "",
        arguments=_arguments(program),
        element_arguments=", ".join(
            f"real& {name}" if name in stores else f"real {name}" for name in vectors
        ),
        body=_block(_body(program), 8),
        begin="double total = 0;" if measures else "",
        load_packs=_block(
            [
                *(["real squares = 0;"] if measures else []),
                *map(_load_pack, loads),
                *(f"Pack {n}_;" for n in outputs),
            ],
            8,
        ),
        run_in_pack=f"const real value = {in_pack}; squares += value * value;"
        if measures
        else f"{in_pack};",
        after_pack="total += squares;" if measures else "",
        store_packs=_block(map(_store_pack, stores), 8),
        load_single=_block(
            [*(f"real {n}_ = {n}[at];" for n in loads), *(f"real {n}_;" for n in outputs)], 8
        ),
        run_single=f"const real value = {single}; total += value * value;"
        if measures
        else f"{single};",
        store_single=_block((f"{name}[at] = {name}_;" for name in stores), 8),
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


def _body(program: Program) -> Iterable[str]:
    inner = [name for name in program.locals if name not in program.vectors]
    if inner:
        yield f"real {', '.join(inner)};"
    yield from (f"{op.text};" for op in program.operations)
    if program.measured is not None:
        yield f"return {program.measured};"


def _load_pack(name: str) -> str:
    return f"Pack {name}_; {name}_.whole = reinterpret_cast<const float4*>({name} + head)[turn];"


def _store_pack(name: str) -> str:
    return f"reinterpret_cast<float4*>({name} + head)[turn] = {name}_.whole;"


def _block(lines: Iterable[str], indent: int) -> str:
    return ("\n" + " " * indent).join(lines)
