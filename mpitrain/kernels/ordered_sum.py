"""CUDA text that adds one float64 of every thread of a launch, always in the same order.

The kernel around it has ``const int threads``, a power of two, and three arguments: ``partial``,
a float64 per block; ``counter``, one uint32 that is 0; ``sum``, a float64 that is overwritten.
"""

from __future__ import annotations

# blocks of a launch that adds: the same on every device, so that the bits are, too
MOST_BLOCKS = 8192

FUNCTION = """
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

// The block that finishes last adds the sums of all blocks, in the blocks' order and not in that
// of their finishing, and the counter is back at 0 for the next launch.
__device__ void launch_sum(double value, double* partial, unsigned* counter, double* sum)
{
    const double own = block_sum(value);
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
    if (threadIdx.x == 0) sum[0] = all;
}
"""
