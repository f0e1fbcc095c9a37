// CUDA C++ for g++: the part of the language that kernels here use, executed by the machine of cuda_machine.h.
//
// A translation unit consists of this header, a kernel's source in which
//     extern __shared__ float4 rows[];
// is written
//     float4 *const rows = static_cast<float4 *>(cuda_on_cpu::dynamic_shared());
// (cuda_emulation.py does so), and CUDA_ON_CPU_KERNEL(number, name) for some of its kernels, which exports the functions
// that Python calls.
// Only one dimension, full masks, and what is listed below. A source sees that it runs here by CUDA_ON_CPU; inline
// PTX that moves values between lanes can be replaced by cuda_on_cpu::exchange.
#pragma once
#include <cmath>
#include <type_traits>
#include <utility>

#include "cuda_launch.h"

#define CUDA_ON_CPU 1
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
// Not within templates: g++ would want a section of its own for each of their instances.
#define __shared__ static __attribute__((section("cuda_shared")))

// ---- Vectors. ----

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }

// ---- Collectives: `line` is that of the call. ----

namespace cuda_on_cpu {
inline void *dynamic_shared() { return current->warp->block->shared->start; }
inline void need_full(unsigned mask, int line) {
    if (mask != ~0u) fail("line %d: only the full mask is supported, not %#x", line, mask);
}
}  // namespace cuda_on_cpu

inline void __syncthreads(int line = __builtin_LINE()) { cuda_on_cpu::meet(__func__, line, true); }

inline void __syncwarp(unsigned mask = ~0u, int line = __builtin_LINE()) {
    cuda_on_cpu::need_full(mask, line);
    cuda_on_cpu::meet(__func__, line);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int line = __builtin_LINE()) {
    cuda_on_cpu::need_full(mask, line);
    return cuda_on_cpu::exchange(value, __func__, line)[source & 31];
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int line = __builtin_LINE()) {
    cuda_on_cpu::need_full(mask, line);
    return cuda_on_cpu::exchange(value, __func__, line)[(threadIdx.x ^ bits) & 31];
}

inline unsigned __ballot_sync(unsigned mask, bool predicate, int line = __builtin_LINE()) {
    cuda_on_cpu::need_full(mask, line);
    const bool *votes = cuda_on_cpu::exchange(predicate, __func__, line);
    unsigned ballot = 0;
    for (int lane = 0; lane < 32; ++lane) ballot |= static_cast<unsigned>(votes[lane]) << lane;
    return ballot;
}

inline bool __any_sync(unsigned mask, bool predicate, int line = __builtin_LINE()) {
    return __ballot_sync(mask, predicate, line) != 0;
}

// ---- Memory: threads switch at collectives only, so that plain reads and writes are atomic already. ----

namespace cuda_on_cpu {
template <class T>
void need_aligned(const T *place, int line) {
    if (reinterpret_cast<uintptr_t>(place) % alignof(T)) {
        fail("line %d: misaligned access of %zu bytes", line, sizeof(T));
    }
}
}  // namespace cuda_on_cpu

template <class T>
T __ldg(const T *place, int line = __builtin_LINE()) {
    cuda_on_cpu::need_aligned(place, line);
    return *place;
}

// The type comes from the place alone, as it does on the device.
template <class T>
T atomicAdd(T *place, std::common_type_t<T> value, int line = __builtin_LINE()) {
    static_assert(sizeof(T) >= 4, "CUDA has no atomicAdd of this type");
    cuda_on_cpu::need_aligned(place, line);
    const T before = *place;
    *place = before + value;
    return before;
}

inline float4 atomicAdd(float4 *place, float4 value, int line = __builtin_LINE()) {
    cuda_on_cpu::need_aligned(place, line);
    const float4 before = *place;
    *place = {before.x + value.x, before.y + value.y, before.z + value.z, before.w + value.w};
    return before;
}

// ---- Arithmetic. ----

// As CUDA's: of mixed types the common one, and of a number and a NaN the number.
template <class A, class B>
auto min(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) return static_cast<T>(std::fmin(T(a), T(b)));
    else return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B>
auto max(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) return static_cast<T>(std::fmax(T(a), T(b)));
    else return T(a) < T(b) ? T(b) : T(a);
}

inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((uint64_t{a} * b) >> 32); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// ---- What g++ -fsanitize=alignment,bounds,shift-exponent calls instead of its own library. ----

struct SanitizerReport {
    const char *file;
    unsigned line, column;
    // ... more, which depends on the kind of report.
};
extern "C" void __ubsan_handle_type_mismatch_v1_abort(SanitizerReport *report, void *) {
    cuda_on_cpu::fail("%s, line %u: misaligned access", report->file, report->line);
}
extern "C" void __ubsan_handle_out_of_bounds_abort(SanitizerReport *report, void *index) {
    cuda_on_cpu::fail("%s, line %u: index %ld is out of bounds", report->file, report->line, long(index));
}
extern "C" void __ubsan_handle_shift_out_of_bounds_abort(SanitizerReport *report, void *, void *bits) {
    cuda_on_cpu::fail("%s, line %u: shift by %ld bits", report->file, report->line, long(bits));
}

// ---- The entry for Python. ----

namespace cuda_on_cpu {

// The name of numpy's type of a scalar, or of the scalars in a vector.
template <class T>
std::string type_name() {
    if constexpr (std::is_same_v<T, float2> || std::is_same_v<T, float4>) return "float32";
    else if constexpr (std::is_same_v<T, uint2>) return "uint32";
    else {
        static_assert(std::is_arithmetic_v<T>, "no numpy type corresponds to the kernel's parameter");
        const char *kind = std::is_floating_point_v<T> ? "float" : std::is_signed_v<T> ? "int" : "uint";
        return kind + std::to_string(8 * sizeof(T));
    }
}

template <class P>
std::string parameter_name() {
    if constexpr (!std::is_pointer_v<P>) return type_name<P>();
    else {
        using T = std::remove_pointer_t<P>;
        return (std::is_const_v<T> ? "const " : "") + type_name<std::remove_const_t<T>>() + "*";
    }
}

template <class P>
P argument(size_t i) {
    if constexpr (std::is_pointer_v<P>) return static_cast<P>(argument_values[i]);
    else return *static_cast<const P *>(argument_values[i]);
}

template <auto kernel>
struct Entry;
template <class... P, void (*kernel)(P...)>
struct Entry<kernel> {
    // "const float32*, int64": one name per parameter.
    static std::string signature() {
        std::string all;
        ((all += (all.empty() ? "" : ", ") + parameter_name<P>()), ...);
        return all;
    }
    template <size_t... I>
    static void call(std::index_sequence<I...>) {
        kernel(argument<P>(I)...);
    }
    static void run() { call(std::index_sequence_for<P...>()); }
};

}  // namespace cuda_on_cpu

#define CUDA_ON_CPU_KERNEL(number, ...)                                                                              \
    extern "C" __attribute__((visibility("default"))) const char *cuda_on_cpu_signature_##number() {                 \
        static const std::string signature = cuda_on_cpu::Entry<&__VA_ARGS__>::signature();                          \
        return signature.c_str();                                                                                    \
    }                                                                                                                \
    extern "C" __attribute__((visibility("default"))) const char *cuda_on_cpu_launch_##number(                       \
        unsigned grid, unsigned block, size_t shared_bytes, uint64_t seed, bool interleave, double limit_s,          \
        const cuda_on_cpu::Argument *arguments, size_t count) {                                                      \
        return cuda_on_cpu::launch(cuda_on_cpu::Entry<&__VA_ARGS__>::run, {grid}, {block}, shared_bytes, seed,       \
                                   interleave, limit_s, arguments, count);                                           \
    }
