// What CUDA offers to a kernel, on one thread of a CPU: the threads of a block take turns and
// give way to each other where they wait; blocks follow each other.

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(threads)

using std::exp;
using std::fabs;
using std::fmax;
using std::log;
using std::min;
using std::sqrt;

struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct Index { unsigned x; };

namespace emulation {

const unsigned warp_size = 32;

struct Barrier {
    unsigned size = 0, arrived = 0, generation = 0;
    bool votes[2] = {false, false};
};

struct Thread {
    ucontext_t context;
    std::vector<char> stack;
    unsigned number;
    bool ended;
};

inline std::vector<Thread> threads;
inline std::vector<Barrier> warps;
inline Barrier block;
inline std::vector<double> given;
inline Thread* running;
inline ucontext_t scheduler;
inline std::function<void()> body;

inline void wait_at(Barrier& barrier)
{
    const unsigned generation = barrier.generation;
    if (++barrier.arrived == barrier.size) {
        barrier.arrived = 0;
        ++barrier.generation;
        return;
    }
    while (barrier.generation == generation) swapcontext(&running->context, &scheduler);
}

inline bool vote(Barrier& barrier, bool value)
{
    const unsigned turn = barrier.generation / 2 % 2;
    barrier.votes[turn] |= value;
    wait_at(barrier);
    const bool result = barrier.votes[turn];
    wait_at(barrier);
    barrier.votes[turn] = false;
    return result;
}

inline void enter()
{
    body();
    running->ended = true;
    swapcontext(&running->context, &scheduler);
}

}  // namespace emulation

inline Index blockIdx, gridDim;
struct ThreadIndex {
    struct { operator unsigned() const { return emulation::running->number; } } x;
};
inline ThreadIndex threadIdx;

inline void __syncthreads() { emulation::wait_at(emulation::block); }
inline bool __syncthreads_or(bool value) { return emulation::vote(emulation::block, value); }
inline void __threadfence() {}
template <class Value> Value __ldcg(const Value* at) { return *at; }
inline unsigned atomicInc(unsigned* at, unsigned most)
{
    const unsigned before = *at;
    *at = before >= most ? 0 : before + 1;
    return before;
}

inline emulation::Barrier& own_warp()
{
    return emulation::warps[emulation::running->number / emulation::warp_size];
}

inline bool __any_sync(unsigned, bool value) { return emulation::vote(own_warp(), value); }

template <class Value> Value __shfl_xor_sync(unsigned, Value value, int mask)
{
    const unsigned own = emulation::running->number;
    emulation::given[own] = value;
    emulation::wait_at(own_warp());
    const Value other = Value(emulation::given[own ^ mask]);
    emulation::wait_at(own_warp());
    return other;
}

template <class To, class From> To same_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}
inline float __int_as_float(unsigned bits) { return same_bits<float>(bits); }
inline float __uint_as_float(unsigned bits) { return same_bits<float>(bits); }
inline unsigned __float_as_uint(float value) { return same_bits<unsigned>(value); }

// Run a kernel to its end; tells whether it came there or its threads wait forever.
inline bool run(unsigned blocks, unsigned num_threads, std::function<void()> kernel)
{
    using namespace emulation;
    body = kernel;
    gridDim.x = blocks;
    given.assign(num_threads, 0);
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
        block = Barrier{num_threads};
        warps.assign(num_threads / warp_size, Barrier{warp_size});
        threads.resize(num_threads);
        for (unsigned number = 0; number < num_threads; ++number) {
            Thread& thread = threads[number];
            thread.stack.resize(1 << 16);
            thread.number = number;
            thread.ended = false;
            getcontext(&thread.context);
            thread.context.uc_stack.ss_sp = thread.stack.data();
            thread.context.uc_stack.ss_size = thread.stack.size();
            makecontext(&thread.context, enter, 0);
        }
        unsigned left = num_threads;
        for (unsigned idle = 0; left; ++idle) {
            if (idle > 1000000) return false;
            for (Thread& thread : threads) {
                if (thread.ended) continue;
                running = &thread;
                swapcontext(&scheduler, &thread.context);
                left -= thread.ended;
            }
        }
    }
    return true;
}
