"""The CUDA text of softmax cross-entropy: a team of threads for each row of scores.

A team is a warp, or a whole block where rows are long. It walks its row three times: for the
largest score, for the sum of the powers, and to write. Every element is read and written by one
and the same thread, so the gradient may lie where the scores are.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

import numpy as np
import numpy.typing as npt

from mpitrain.kernels.ordered_sum import FUNCTION, MOST_BLOCKS

CROSS_ENTROPY = "cross_entropy"
COUNT_CORRECT = "count_correct"

WARP = 32
LONG_ROW = 2048  # classes; from here on a row is worth a whole block

_TYPES = {"float32": ("float", "float4"), "float64": ("double", "double2")}


@dataclass(frozen=True)
class Teams:
    """How the threads of a block share rows.

    Attributes:
        threads: of a block, a power of two.
        team: threads that work on one row, a warp or all of the block.
    """

    threads: int
    team: int

    def num_blocks(self, num_rows: int) -> int:
        """Return how many blocks to start for so many rows; the teams of 8192 walk in strides."""
        return max(1, min(MOST_BLOCKS, -(-num_rows // (self.threads // self.team))))


def teams_for(num_classes: int) -> Teams:
    """Return the teams for rows of so many scores."""
    return Teams(512, 512) if num_classes >= LONG_ROW else Teams(128, WARP)


_SOURCE = Template("""\
typedef $type real;
typedef long long size;
typedef $wide wide;  // of the same type, or packs would go through memory
union Pack { wide whole; real at[16 / sizeof(real)]; };
const int width = 16 / sizeof(real);
const int warp = 32;
const int threads = $threads;
const int team = $team;
const int teams = threads / team;
$sum_function
template <class Value>
__device__ Value select(bool condition, Value yes, Value no) { return condition ? yes : no; }

// Where a row starts and how it is walked: head, packs of 16 bytes, tail; see walk.py. The first
// row starts at a multiple of 16 bytes if packs are allowed.
struct Cut { size start, head, num_packs, num_single; };

__device__ Cut cut_row(size row, size num_classes, bool has_packs)
{
    size start, head, num_packs, num_single;
    start = row * num_classes;
    head = select(has_packs, (width - start % width) % width, num_classes);
    head = min(head, num_classes);
    num_packs = (num_classes - head) >> $shift;
    num_single = num_classes - num_packs * width;
    return {start, head, num_packs, num_single};
}

template <bool writes, int loads_at_once, class Visit>
__device__ void walk_row(const real* from, real* to, const Cut cut, Visit visit)
{
    const int member = threadIdx.x % team;
    #pragma unroll loads_at_once
    for (size turn = member; turn < cut.num_packs; turn += team) {
        Pack pack;
        pack.whole = reinterpret_cast<const wide*>(from + cut.head)[turn];
        #pragma unroll
        for (int k = 0; k < width; ++k) visit(pack.at[k], cut.head + turn * width + k);
        if constexpr (writes) reinterpret_cast<wide*>(to + cut.head)[turn] = pack.whole;
    }
    #pragma unroll loads_at_once
    for (size turn = member; turn < cut.num_single; turn += team) {
        const size at = turn < cut.head ? turn : turn + cut.num_packs * width;
        real score = from[at];
        visit(score, at);
        if constexpr (writes) to[at] = score;
    }
}

// The values of a team made one, the same for all of it; both operations are commutative.
template <class Combine>
__device__ real over_team(real value, Combine combine)
{
    #pragma unroll
    for (int gap = warp / 2; gap > 0; gap /= 2)
        value = combine(value, __shfl_xor_sync(0xffffffffu, value, gap));
    if constexpr (team > warp) {
        __shared__ real parts[threads / warp];
        __syncthreads();  // all have read the parts of the row before
        if (threadIdx.x % warp == 0) parts[threadIdx.x / warp] = value;
        __syncthreads();
        value = parts[0];
        #pragma unroll
        for (int part = 1; part < threads / warp; ++part) value = combine(value, parts[part]);
    }
    return value;
}

__device__ bool any_of_team(bool value)
{
    if constexpr (team > warp) return __syncthreads_or(value);
    return __any_sync(0xffffffffu, value);
}

extern "C" __global__ void __launch_bounds__(threads) cross_entropy(
    const real* logits,
    const size* __restrict__ labels,
    real* gradient,
    const size num_rows,
    const size num_classes,
    const int has_packs,
    double* partial,
    unsigned* counter,
    double* sum)
{
    double total = 0;
    const size stride = gridDim.x * size(teams);
    for (size row = blockIdx.x * size(teams) + threadIdx.x / team; row < num_rows; row += stride) {
        const Cut cut = cut_row(row, num_classes, has_packs);
        const real* scores = logits + cut.start;
        real* slopes = gradient + cut.start;
        const size label = labels[row];
        real highest = __int_as_float(0xff800000);  // minus infinity
        real powers = 0;
        real loss = 0;
        const auto raise_highest = [&](real score, size) {
            highest = fmax(highest, score);
        };
        const auto add_power = [&](real score, size) {
            powers = powers + exp(score - highest);
        };
        walk_row<false, 4>(scores, nullptr, cut, raise_highest);
        highest = over_team(highest, [](real a, real b) { return fmax(a, b); });
        walk_row<false, 1>(scores, nullptr, cut, add_power);
        powers = over_team(powers, [](real a, real b) { return a + b; });
        const real log_powers = log(powers);
        const auto to_slope = [&](real& score, size column) {
            real shifted, share;
            shifted = score - highest;
            share = exp(shifted) / powers;
            loss = select(column == label, log_powers - shifted, loss);
            score = select(column == label, share - 1, share);
        };
        walk_row<true, 1>(scores, slopes, cut, to_slope);
        total += loss;
    }
    launch_sum(total, partial, counter, sum);
}

// A row is correct if no other score beats the label's. As for NumPy, NaN beats every number and
// the first of equals beats the others.
extern "C" __global__ void __launch_bounds__(threads) count_correct(
    const real* __restrict__ logits,
    const size* __restrict__ labels,
    const size num_rows,
    const size num_classes,
    const int has_packs,
    double* partial,
    unsigned* counter,
    double* sum)
{
    double total = 0;
    const size stride = gridDim.x * size(teams);
    for (size row = blockIdx.x * size(teams) + threadIdx.x / team; row < num_rows; row += stride) {
        const Cut cut = cut_row(row, num_classes, has_packs);
        const real* scores = logits + cut.start;
        const size label = labels[row];
        const real picked = scores[label];
        bool is_beaten = false;
        const auto compare = [&](real score, size column) {
            bool is_greater, is_equal;
            is_greater = (score > picked) | ((score != score) & (picked == picked));
            is_equal = (score == picked) | ((score != score) & (picked != picked));
            is_beaten = is_beaten | is_greater | (is_equal & (column < label));
        };
        walk_row<false, 4>(scores, nullptr, cut, compare);
        is_beaten = any_of_team(is_beaten);
        if (threadIdx.x % team == 0 && !is_beaten) total += 1;
    }
    launch_sum(total, partial, counter, sum);
}
""")


def cross_entropy_source(dtype: npt.DTypeLike, teams: Teams) -> str:
    """Return the text of two kernels, ``cross_entropy`` and ``count_correct``.

    They take scores (n, C), labels (n,), the former where its gradient goes; then n and C as
    64-bit integers and, as a 32-bit one, whether the arrays start at multiples of 16 bytes; then
    what ``ordered_sum`` asks for.
    """
    real, wide = _TYPES[np.dtype(dtype).name]
    return _SOURCE.substitute(
        type=real,
        wide=wide,
        threads=teams.threads,
        team=teams.team,
        shift={"float4": 2, "double2": 1}[wide],
        sum_function=FUNCTION,
    )
