// Memory for the machine in cuda_machine.h, placed so that a kernel that leaves its array is caught.
//
// Every array (of the host, of shared memory, of a fibre's stack) is a region of its own: its bytes end where a
// megabyte that nobody may touch begins, and another such megabyte lies before its first page. What remains within
// the first page and after a size that is no multiple of 16 is padding, filled with 0xFF and compared afterwards:
// reading it yields NaN or -1, writing to it is reported when the kernel has ended.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <new>
#include <string>

namespace cuda_on_cpu {

constexpr size_t kGuardBytes = 1 << 20;
constexpr size_t kAlignment = 16;  // of the start of every array: the widest load of a kernel

struct Region {
    std::string name;
    size_t bytes;
    size_t accessible;  // whole pages between the guards
    char *map;
    char *start;

    Region(std::string region_name, size_t region_bytes) : name(std::move(region_name)), bytes(region_bytes) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        const size_t aligned = (bytes + kAlignment - 1) / kAlignment * kAlignment;
        accessible = (aligned + page - 1) / page * page;
        void *mapped = mmap(nullptr, mapped_bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED || mprotect(static_cast<char *>(mapped) + kGuardBytes, accessible,
                                             PROT_READ | PROT_WRITE) != 0) {
            throw std::bad_alloc();
        }
        map = static_cast<char *>(mapped);
        start = pages() + accessible - aligned;
        memset(pages(), 0xFF, start - pages());
        memset(start + bytes, 0xFF, aligned - bytes);
    }
    Region(const Region &) = delete;
    ~Region() { munmap(map, mapped_bytes()); }

    char *pages() const { return map + kGuardBytes; }
    size_t mapped_bytes() const { return accessible + 2 * kGuardBytes; }
    bool holds(const char *address) const { return map <= address && address < map + mapped_bytes(); }
    void protect_from_writes() const { mprotect(pages(), accessible, PROT_READ); }

    // Whether the padding on either side is as it was filled.
    bool intact() const {
        for (const char *byte = pages(); byte < pages() + accessible; ++byte) {
            if (byte == start) byte += bytes;
            if (byte < pages() + accessible && *byte != '\xFF') return false;
        }
        return true;
    }
};

// All regions of one launch; references to them stay valid as it grows.
static std::deque<Region> regions;

// Says in words where an address that must not be accessed lies.
static void describe(const char *address, char *text, size_t size) {
    for (const Region &region : regions) {
        if (!region.holds(address)) continue;
        const char *end = region.start + region.bytes;
        if (address < region.start) {
            snprintf(text, size, "%ld bytes before the start of %s", long(region.start - address),
                     region.name.c_str());
        } else if (address >= end) {
            snprintf(text, size, "%ld bytes past the end of %s", long(address - end), region.name.c_str());
        } else {
            snprintf(text, size, "byte %ld of %s, which is const", long(address - region.start),
                     region.name.c_str());
        }
        return;
    }
    snprintf(text, size, "memory far from every array");
}

}  // namespace cuda_on_cpu
