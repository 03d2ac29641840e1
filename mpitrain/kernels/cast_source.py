"""The CUDA text of casts between float32 and 16 bits, in integer arithmetic.

The lines of ``narrowed`` and ``widened`` run in Python too, on NumPy's numbers. Nothing in them
depends on how float32 numbers below 1.2e-38 are treated, which CuPy tells its compiler to take
for 0, and the product is an instruction of its own for the same reason.
"""

from __future__ import annotations

from string import Template

NARROW = "narrow"
WIDEN = "widen"
THREADS = 256  # in a block
WIDTH = 8  # elements that a thread moves at a time: 16 bytes of the narrow ones

MULTIPLY = """\
__device__ float multiply(float left, float right)
{
    float product;
    asm("mul.rn.f32 %0, %1, %2;" : "=f"(product) : "f"(left), "f"(right));
    return product;
}
"""

# ``bits`` are those of the magnitude, a float32; ``narrow`` what is left of them, rounded to the
# nearest, ties to even. Carries into the exponent are as they should be, up to infinity.
_NARROWED = {
    "bfloat16": """
    odd = (bits >> 16) & 1;
    narrow = (bits + 0x7fff + odd) >> 16;
    narrow = select(bits > 0x7f800000, 0x7fc0, narrow | sign);
""",
    # A small number is added to 0.5, whose last bit is worth that of the smallest float16.
    "float16": """
    odd = (bits >> 13) & 1;
    normal = (bits - 0x38000000 + 0xfff + odd) >> 13;
    small = as_bits(as_float(bits) + as_float(0x3f000000)) - 0x3f000000;
    narrow = select(bits < 0x38800000, small, normal);
    narrow = select(bits < 0x47800000, narrow, 0x7c00);
    narrow = select(bits > 0x7f800000, 0x7e00, narrow | sign);
""",
}
_WIDENED = {
    "bfloat16": """
    bits = narrow << 16;
""",
    # The exponent is moved; a small number is the difference of two that are not.
    "float16": """
    sign = (narrow & 0x8000) << 16;
    bits = (narrow & 0x7fff) << 13;
    normal = bits + 0x38000000;
    small = as_bits(as_float(bits + 0x38800000) - as_float(0x38800000));
    endless = bits + 0x70000000;
    normal = select(bits < 0x0f800000, normal, endless);
    bits = select(bits < 0x00800000, small, normal) | sign;
""",
}

_SOURCE = Template("""\
typedef long long size;
union Wide { float4 whole[2]; float at[8]; };
union Narrow { uint4 whole; unsigned at[4]; };  // two in each
const int width = $width;
const int threads = $threads;

__device__ unsigned as_bits(float value) { return __float_as_uint(value); }
__device__ float as_float(unsigned bits) { return __uint_as_float(bits); }
__device__ unsigned select(bool condition, unsigned yes, unsigned no)
{
    return condition ? yes : no;
}
$multiply
__device__ unsigned narrowed(float value, float scale)
{
    unsigned bits, sign, odd, narrow$narrowed_names;
    bits = as_bits(multiply(value, scale));
    sign = (bits >> 16) & 0x8000;
    bits = bits & 0x7fffffff;$narrowed
    return narrow;
}

__device__ float widened(unsigned narrow, float scale)
{
    unsigned bits$widened_names;$widened
    bits = as_bits(multiply(as_float(bits), scale));
    bits = select((bits & 0x7fffffff) > 0x7f800000, 0x7fc00000, bits);
    return as_float(bits);
}

extern "C" __global__ void __launch_bounds__(threads) narrow(
    const float* __restrict__ from,
    unsigned short* __restrict__ to,
    const float scale,
    const size head,
    const size num_packs,
    const size num_single)
{
    const size first = blockIdx.x * size(threads) + threadIdx.x;
    const size stride = gridDim.x * size(threads);
    #pragma unroll 1
    for (size turn = first; turn < num_packs; turn += stride) {
        const float4* pack = reinterpret_cast<const float4*>(from + head) + 2 * turn;
        Wide wide;
        wide.whole[0] = pack[0];
        wide.whole[1] = pack[1];
        Narrow narrow;
        #pragma unroll
        for (int k = 0; k < width / 2; ++k)
            narrow.at[k] = narrowed(wide.at[2 * k], scale)
                | narrowed(wide.at[2 * k + 1], scale) << 16;
        reinterpret_cast<uint4*>(to + head)[turn] = narrow.whole;
    }
    #pragma unroll 1
    for (size turn = first; turn < num_single; turn += stride) {
        const size at = turn < head ? turn : turn + num_packs * width;
        to[at] = narrowed(from[at], scale);
    }
}

extern "C" __global__ void __launch_bounds__(threads) widen(
    const unsigned short* __restrict__ from,
    float* __restrict__ to,
    const float scale,
    const size head,
    const size num_packs,
    const size num_single)
{
    const size first = blockIdx.x * size(threads) + threadIdx.x;
    const size stride = gridDim.x * size(threads);
    #pragma unroll 1
    for (size turn = first; turn < num_packs; turn += stride) {
        Narrow narrow;
        narrow.whole = reinterpret_cast<const uint4*>(from + head)[turn];
        Wide wide;
        #pragma unroll
        for (int k = 0; k < width / 2; ++k) {
            wide.at[2 * k] = widened(narrow.at[k] & 0xffff, scale);
            wide.at[2 * k + 1] = widened(narrow.at[k] >> 16, scale);
        }
        float4* pack = reinterpret_cast<float4*>(to + head) + 2 * turn;
        pack[0] = wide.whole[0];
        pack[1] = wide.whole[1];
    }
    #pragma unroll 1
    for (size turn = first; turn < num_single; turn += stride) {
        const size at = turn < head ? turn : turn + num_packs * width;
        to[at] = widened(from[at], scale);
    }
}
""")


def cast_source(kind: str) -> str:
    """Return the text of two kernels, ``narrow`` and ``widen``.

    They take what is read, what is written, the factor as a float32, then ``head``, ``num_packs``
    (of 8 elements) and ``num_single`` (head and tail) as 64-bit integers.

    Args:
        kind: of the narrow numbers, "float16" or "bfloat16".
    """
    is_half = kind == "float16"
    return _SOURCE.substitute(
        width=WIDTH,
        threads=THREADS,
        multiply=MULTIPLY,
        narrowed=_NARROWED[kind].rstrip(),
        widened=_WIDENED[kind].rstrip(),
        narrowed_names=", normal, small" if is_half else "",
        widened_names=", sign, normal, small, endless" if is_half else "",
    )
