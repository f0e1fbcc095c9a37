// A machine that executes CUDA threads on one CPU thread: warps of 32 fibres, blocks of warps, a grid of blocks.
//
// Every CUDA thread is a fibre with a stack of its own. A fibre runs until it meets a collective (a warp's exchange
// or barrier, or the block's barrier) or returns, then the scheduler picks another. Its choices come from the seed:
// the order of the lanes between two collectives, which warp goes on, and how eagerly it runs ahead of the others.
// So a kernel that forgets a barrier computes something else for some seed, and the same seed repeats it.
// Blocks run one after the other in order, or interleaved: then all are resident (up to kMaxFibres threads).
//
// The machine stops with a message when lanes of a warp meet in different collectives (another function or another
// line) and when a thread returns that others wait for; cuda_launch.h adds accesses outside arrays and kernels that
// do not end. It is stricter than CUDA where CUDA lets threads that have returned miss a barrier.
#pragma once
#include <algorithm>
#include <cstdarg>
#include <vector>

#include "cuda_memory.h"

#if !defined(__x86_64__) && !defined(CUDA_ON_CPU_UCONTEXT)
#define CUDA_ON_CPU_UCONTEXT
#endif
#ifdef CUDA_ON_CPU_UCONTEXT
#include <ucontext.h>
#endif

struct Index {
    unsigned x;  // only one dimension
};
static Index threadIdx, blockIdx, blockDim, gridDim;

// The variables declared __shared__ lie in one section, which holds those of the block that runs now.
extern "C" char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));

namespace cuda_on_cpu {

constexpr unsigned kLanes = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kMaxFibres = 8192;
constexpr size_t kStackBytes = 64 << 10;
constexpr size_t kSlotBytes = 64;  // of one lane's value in an exchange

// ---- Contexts: what a fibre keeps while another runs. ----

#ifdef CUDA_ON_CPU_UCONTEXT
struct Context {
    ucontext_t machine;
};
static void prepare(Context &context, const Region &stack, void (*entry)()) {
    getcontext(&context.machine);
    context.machine.uc_stack.ss_sp = stack.start;
    context.machine.uc_stack.ss_size = stack.bytes;
    context.machine.uc_link = nullptr;
    makecontext(&context.machine, entry, 0);
}
static void exchange_contexts(Context &from, Context &to) { swapcontext(&from.machine, &to.machine); }
#else
// Only the registers that a called function preserves need saving: they go to the stack, and the stack pointer here.
struct Context {
    void *stack_pointer;
};
extern "C" void cuda_on_cpu_switch(void **save, void *load) __attribute__((visibility("hidden")));
asm(R"(
    .pushsection .text
    .type cuda_on_cpu_switch, @function
cuda_on_cpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size cuda_on_cpu_switch, . - cuda_on_cpu_switch
    .popsection
)");
static void prepare(Context &context, const Region &stack, void (*entry)()) {
    // From the top: no return address (which also aligns the stack as after a call), the entry, six registers.
    void **top = reinterpret_cast<void **>(stack.start + stack.bytes) - 8;
    memset(top, 0, 8 * sizeof(void *));
    top[6] = reinterpret_cast<void *>(entry);
    context.stack_pointer = top;
}
static void exchange_contexts(Context &from, Context &to) {
    cuda_on_cpu_switch(&from.stack_pointer, to.stack_pointer);
}
#endif

// ---- The state of a launch. ----

struct Warp;
struct Block;

struct Fibre {
    Context context;
    const Region *stack;
    Warp *warp;
    unsigned thread;  // within its block
    int line;         // of the last collective it met, 0 before the first
};

struct Warp {
    Block *block;
    Fibre lanes[kLanes];
    unsigned pending;         // lanes that may run, in the order of turn()
    unsigned stride, offset;  // of that order
    unsigned arrived, returned;
    const char *collective;  // where the lanes that have arrived wait
    int line;
    unsigned parity;
    alignas(16) char slots[2][kLanes * kSlotBytes];  // used in turns, so that one barrier per exchange is enough
};

struct Block {
    unsigned index;
    std::vector<Warp> warps;
    unsigned arrived, returned;  // warps
    int line;                    // of the __syncthreads where warps wait
    Region *shared;
    std::vector<char> statics;  // the section of __shared__ variables while another block runs
};

static void (*kernel_body)();
static Context home;     // of launch()
static Fibre *current;   // null while launch() itself runs
static Block *loaded;    // the block whose __shared__ variables are in their section
static std::vector<Warp *> ready;  // warps with pending lanes
static size_t chosen;              // the warp among them that runs; past the end: choose anew
static unsigned eagerness;         // in how many of 256 choices the last warp to become ready goes on
static uint64_t random_state;
static Block *finished;  // set by its last thread
static bool failed;
static char message[1024];

// Leaves a fibre for good.
[[noreturn]] static void go_home() {
    Context &from = current->context;
    current = nullptr;
    exchange_contexts(from, home);
    __builtin_unreachable();
}

[[noreturn]] static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void fail(const char *format, ...) {
    size_t used = snprintf(message, sizeof message, "block %u, thread %u", blockIdx.x, threadIdx.x);
    if (current->line) {
        used += snprintf(message + used, sizeof message - used, " (last collective: line %d)", current->line);
    }
    used += snprintf(message + used, sizeof message - used, ": ");
    va_list values;
    va_start(values, format);
    vsnprintf(message + used, sizeof message - used, format, values);
    va_end(values);
    failed = true;
    go_home();
}

// ---- Scheduling. ----

// SplitMix64, its upper half.
static unsigned draw() {
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<unsigned>((z ^ (z >> 31)) >> 32);
}

// Lets all lanes of a warp run, in a new order.
static void release(Warp &warp) {
    const unsigned bits = draw();
    warp.stride = bits | 1;  // odd, so that every lane has its turn
    warp.offset = bits >> 16;
    warp.pending = kLanes;
    warp.arrived = 0;
    warp.parity ^= 1;
    ready.push_back(&warp);
}

// The fibre to run next; some warp must have pending lanes.
static Fibre &next() {
    const unsigned bits = draw();
    // Seldom, a warp is left halfway between two collectives.
    if (chosen >= ready.size() || bits % 64 == 0) {
        chosen = (bits >> 6) % 256 < eagerness ? ready.size() - 1 : (bits >> 14) % ready.size();
    }
    Warp &warp = *ready[chosen];
    Fibre &fibre = warp.lanes[(--warp.pending * warp.stride + warp.offset) % kLanes];
    if (warp.pending == 0) {
        ready[chosen] = ready.back();
        ready.pop_back();
        chosen = SIZE_MAX;
    }
    return fibre;
}

static void load_statics(Block &block) {
    if (loaded == &block) return;
    const size_t bytes = block.statics.size();
    if (loaded && bytes) memcpy(loaded->statics.data(), __start_cuda_shared, bytes);
    if (bytes) memcpy(__start_cuda_shared, block.statics.data(), bytes);
    loaded = &block;
}

// Leaves the context that runs for a fibre.
static void resume(Fibre &fibre) {
    if (&fibre == current) return;
    Context &from = current ? current->context : home;
    current = &fibre;
    threadIdx.x = fibre.thread;
    blockIdx.x = fibre.warp->block->index;
    load_statics(*fibre.warp->block);
    exchange_contexts(from, fibre.context);
}

// ---- Collectives. ----

// Whether this warp is the last of its block to meet __syncthreads; if so, the others may go on.
static bool complete_block(Warp &warp) {
    Block &block = *warp.block;
    if (block.returned) fail("a warp has returned and never reaches __syncthreads in line %d", warp.line);
    if (block.arrived && block.line != warp.line) {
        fail("warps meet in different __syncthreads: lines %d and %d", block.line, warp.line);
    }
    block.line = warp.line;
    if (++block.arrived < block.warps.size()) return false;
    block.arrived = 0;
    for (Warp &other : block.warps) {
        if (&other != &warp) release(other);
    }
    return true;
}

// Waits until all lanes of the warp, or all threads of the block, have called this from the same place.
static void meet(const char *collective, int line, bool whole_block = false) {
    Warp &warp = *current->warp;
    if (warp.returned) fail("a lane of its warp has returned and never reaches %s in line %d", collective, line);
    if (warp.arrived && (warp.collective != collective || warp.line != line)) {
        fail("meets %s in line %d, but other lanes of its warp wait in %s in line %d", collective, line,
             warp.collective, warp.line);
    }
    warp.collective = collective;
    warp.line = current->line = line;
    if (++warp.arrived == kLanes && (!whole_block || complete_block(warp))) release(warp);
    resume(next());
}

// Every lane gives a value; returns those of all 32 lanes, valid until this lane's next collective.
template <class T>
static const T *exchange(const T &value, const char *collective, int line) {
    static_assert(sizeof(T) <= kSlotBytes, "the value is too large to exchange");
    Warp &warp = *current->warp;
    char *slots = warp.slots[warp.parity];
    memcpy(slots + threadIdx.x % kLanes * sizeof(T), &value, sizeof(T));
    meet(collective, line);
    return reinterpret_cast<const T *>(slots);
}

// ---- Blocks. ----

// What a fibre executes. It never comes back: the last thread of a block goes home, where the block is replaced.
static void run_thread() {
    kernel_body();
    Warp &warp = *current->warp;
    if (warp.arrived) fail("returns, but others of its warp wait in %s in line %d", warp.collective, warp.line);
    if (++warp.returned == kLanes) {
        Block &block = *warp.block;
        if (block.arrived) fail("its warp returns, but others of its block wait in line %d", block.line);
        if (++block.returned == block.warps.size()) {
            finished = &block;
            go_home();
        }
    }
    resume(next());
}

static void start(Block &block, unsigned index) {
    block.index = index;
    block.arrived = block.returned = 0;
    memset(block.shared->start, 0xFF, block.shared->bytes);
    block.statics.assign(__stop_cuda_shared - __start_cuda_shared, '\xFF');
    if (loaded == &block) loaded = nullptr;
    for (Warp &warp : block.warps) {
        warp.block = &block;
        warp.returned = 0;
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            Fibre &fibre = warp.lanes[lane];
            fibre.warp = &warp;
            fibre.thread = static_cast<unsigned>(&warp - block.warps.data()) * kLanes + lane;
            fibre.line = 0;
            prepare(fibre.context, *fibre.stack, run_thread);
        }
        release(warp);
    }
}

static void reserve(Block &block, size_t shared_bytes) {
    block.warps.resize(blockDim.x / kLanes);
    block.shared = &regions.emplace_back("the dynamic shared memory", shared_bytes);
    for (Warp &warp : block.warps) {
        for (Fibre &fibre : warp.lanes) fibre.stack = &regions.emplace_back("the thread's stack", kStackBytes);
    }
}

// Runs all blocks, `resident` at a time; stops early where failed is set.
static void run_grid(unsigned resident, size_t shared_bytes) {
    std::vector<Block> blocks(resident);
    for (Block &block : blocks) reserve(block, shared_bytes);
    ready.reserve(resident * blockDim.x / kLanes);
    unsigned started = 0;
    for (Block &block : blocks) start(block, started++);
    while (!ready.empty()) {
        resume(next());
        if (failed) return;
        if (started < gridDim.x) start(*finished, started++);
    }
}

}  // namespace cuda_on_cpu
