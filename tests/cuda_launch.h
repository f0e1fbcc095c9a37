// A launch on the machine of cuda_machine.h: arguments copied in and out, faults of the kernel turned into messages.
#pragma once
#include <signal.h>
#include <sys/time.h>

#include "cuda_machine.h"

namespace cuda_on_cpu {

constexpr size_t kMaxSharedBytes = 227 << 10;  // of a block, on the largest devices

// ---- Faults. ----

// Leaves the thread that caused the signal; its message is that of the launch.
static void on_fault(int signal, siginfo_t *info, void *) {
    if (!current) {  // not the kernel's doing
        if (signal != SIGVTALRM) ::signal(signal, SIG_DFL);
        return;
    }
    if (signal == SIGVTALRM) fail("the kernel does not end within its limit of processor time");
    if (signal == SIGFPE) fail("integer division by zero");
    char place[256];
    describe(static_cast<const char *>(info->si_addr), place, sizeof place);
    fail("access %s", place);
}

// Signals that mean a fault of the kernel, while this object lives. Handled on a stack of their own, since a
// thread's may be full; not masked during handling, since fail() leaves the handler for good.
struct FaultHandlers {
    static constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGVTALRM};
    struct sigaction before[4];
    stack_t stack_before;
    std::vector<char> stack = std::vector<char>(64 << 10);

    explicit FaultHandlers(double limit_s) {
        stack_t handling = {};
        handling.ss_sp = stack.data();
        handling.ss_size = stack.size();
        sigaltstack(&handling, &stack_before);
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        for (int i = 0; i < 4; ++i) sigaction(kSignals[i], &action, &before[i]);
        set_timer(limit_s);
    }
    FaultHandlers(const FaultHandlers &) = delete;
    ~FaultHandlers() {
        set_timer(0);
        for (int i = 0; i < 4; ++i) sigaction(kSignals[i], &before[i], nullptr);
        sigaltstack(&stack_before, nullptr);
    }
    // Repeats, so that an alarm while no fibre runs is not the last.
    static void set_timer(double seconds) {
        const auto whole = static_cast<time_t>(seconds);
        itimerval timer = {{0, 10000}, {whole, static_cast<suseconds_t>((seconds - double(whole)) * 1e6)}};
        if (seconds == 0) timer.it_interval = {0, 0};
        setitimer(ITIMER_VIRTUAL, &timer, nullptr);
    }
};

// ---- Launches. ----

// One argument of a kernel: a scalar's bytes, or an array that is copied in and, unless const, out again. A null pointer
// is a scalar without bytes.
struct Argument {
    enum Kind : int { kScalar, kConstArray, kArray };
    void *data;
    size_t bytes;
    Kind kind;
};

static std::vector<void *> argument_values;  // where the copy of each array, or the scalar, lies

static void copy_in(const Argument *arguments, size_t count) {
    argument_values.assign(count, nullptr);
    for (size_t i = 0; i < count; ++i) {
        const Argument &argument = arguments[i];
        if (argument.kind == Argument::kScalar) {
            argument_values[i] = argument.data;
            continue;
        }
        Region &region = regions.emplace_back("argument " + std::to_string(i), argument.bytes);
        memcpy(region.start, argument.data, argument.bytes);
        if (argument.kind == Argument::kConstArray) region.protect_from_writes();
        argument_values[i] = region.start;
    }
}

static void copy_out(const Argument *arguments, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        if (arguments[i].kind == Argument::kArray) memcpy(arguments[i].data, argument_values[i], arguments[i].bytes);
    }
}

// Runs a kernel; returns null, or what went wrong (the arrays are then as before).
static const char *launch(void (*body)(), Index grid, Index block, size_t shared_bytes, uint64_t seed,
                          bool interleave, double limit_s, const Argument *arguments, size_t count) {
    if (shared_bytes > kMaxSharedBytes) return "no device has so much shared memory";
    if (block.x == 0 || block.x % kLanes || block.x > kMaxThreads) return "a block has 32, 64, ... or 1024 threads";
    kernel_body = body;
    gridDim = grid;
    blockDim = block;
    random_state = seed;
    const unsigned eagernesses[] = {0, 128, 240, 255};
    eagerness = eagernesses[draw() % 4];
    current = nullptr;
    loaded = nullptr;
    ready.clear();
    chosen = SIZE_MAX;
    failed = false;
    copy_in(arguments, count);
    if (grid.x) {
        FaultHandlers handlers(limit_s);
        run_grid(interleave ? std::min(grid.x, kMaxFibres / block.x) : 1, shared_bytes);
    }
    for (const Region &region : regions) {
        if (failed || region.intact()) continue;
        snprintf(message, sizeof message, "something was written just outside %s", region.name.c_str());
        failed = true;
    }
    if (!failed) copy_out(arguments, count);
    regions.clear();
    return failed ? message : nullptr;
}

}  // namespace cuda_on_cpu
