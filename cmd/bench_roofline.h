// What the machine itself can do with some number of threads, measured beside the tests it is
// compared with: bytes read from memory per second, and int8 multiply-adds per second. The loops
// are in kernels/probes.h.
#ifndef TRITSTACK_CMD_BENCH_ROOFLINE_H_
#define TRITSTACK_CMD_BENCH_ROOFLINE_H_

#include <cstdint>
#include <functional>

#include "runtime/thread_pool.h"

namespace trit {

// Anonymous memory on huge pages where the system gives them; null when there is none.
class BigBuffer {
 public:
  explicit BigBuffer(uint64_t bytes);
  ~BigBuffer();
  BigBuffer(const BigBuffer&) = delete;
  BigBuffer& operator=(const BigBuffer&) = delete;

  uint8_t* data() const { return data_; }
  uint64_t size() const { return bytes_; }

 private:
  uint8_t* data_;
  uint64_t bytes_ = 0;
};

// Enough to be far larger than the caches, never much of the memory there is.
uint64_t beyond_cache_bytes();

// Units of work per second: all threads take items (numbered from 0) for about `seconds`.
// work(item, thread) does one, which should take well under a millisecond, and returns its units.
double measure_rate(ThreadPool* pool, double seconds,
                    const std::function<double(uint64_t item, uint32_t thread)>& work);

struct Roofline {
  double dram_bytes_per_second = 0;  // 0: no memory to measure with
  double int8_macs_per_second = 0;
};
// Takes about a third of a second. `isa`: whose multiplications.
Roofline measure_roofline(const char* isa, ThreadPool* pool);

}  // namespace trit

#endif  // TRITSTACK_CMD_BENCH_ROOFLINE_H_
