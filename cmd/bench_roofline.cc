// See bench_roofline.h.
#include "cmd/bench_roofline.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "kernels/probes.h"
#include "model_format/mapped_file.h"

namespace trit {

namespace {

constexpr uint64_t kReadSlice = 1u << 20;
constexpr uint64_t kInt8Rounds = 20000;  // tens of microseconds
constexpr double kReadSeconds = 0.1, kInt8Seconds = 0.05;

}  // namespace

BigBuffer::BigBuffer(uint64_t bytes) : data_(reserve_pages(bytes, 0, PROT_READ | PROT_WRITE)) {
  if (!data_) return;
  bytes_ = bytes;
#ifdef MADV_HUGEPAGE
  madvise(data_, bytes_, MADV_HUGEPAGE);
#endif
}

BigBuffer::~BigBuffer() {
  if (data_) munmap(data_, bytes_);
}

uint64_t beyond_cache_bytes() {
  uint64_t bytes = uint64_t{256} << 20;
#ifdef _SC_LEVEL3_CACHE_SIZE
  if (const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE); cache > 0)
    bytes = std::max(bytes, std::min(8 * static_cast<uint64_t>(cache), uint64_t{1} << 30));
#endif
  return std::min(bytes, physical_bytes() / 8 / kHugePage * kHugePage);
}

double measure_rate(ThreadPool* pool, double seconds,
                    const std::function<double(uint64_t item, uint32_t thread)>& work) {
  using Clock = std::chrono::steady_clock;
  struct alignas(64) Units {
    double done = 0;
  };
  std::vector<Units> units(pool->size());
  std::atomic<uint64_t> next{0};
  const Clock::time_point start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  pool->parallel_for(pool->size(), [&](uint32_t, uint32_t thread) {
    while (elapsed() < seconds) units[thread].done += work(next++, thread);
  });
  double sum = 0;
  for (const Units& u : units) sum += u.done;
  return sum / elapsed();
}

Roofline measure_roofline(const char* isa, ThreadPool* pool) {
  Roofline roofline;
  const BigBuffer buffer(beyond_cache_bytes());
  if (const uint64_t slices = buffer.size() / kReadSlice) {
    // Written first: pages that nobody wrote are all the same one, and in the cache.
    pool->parallel_for(static_cast<uint32_t>(slices), [&](uint32_t slice, uint32_t) {
      std::memset(buffer.data() + slice * kReadSlice, 1, kReadSlice);
    });
    roofline.dram_bytes_per_second = measure_rate(pool, kReadSeconds, [&](uint64_t i, uint32_t) {
      probe_read(buffer.data() + i % slices * kReadSlice, kReadSlice);
      return static_cast<double>(kReadSlice);
    });
  }
  roofline.int8_macs_per_second = measure_rate(pool, kInt8Seconds, [&](uint64_t, uint32_t) {
    return static_cast<double>(probe_int8(isa, kInt8Rounds));
  });
  return roofline;
}

}  // namespace trit
