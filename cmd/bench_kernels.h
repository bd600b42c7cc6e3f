// `tritstack bench --kernels`: the main kernels, each alone, on every level this CPU has, over data
// far larger than the caches where a model's would be.
#ifndef TRITSTACK_CMD_BENCH_KERNELS_H_
#define TRITSTACK_CMD_BENCH_KERNELS_H_

#include <cstdint>
#include <vector>

#include "cmd/bench_table.h"

namespace trit {

// One row per kernel, level and number of threads: medians of `repetitions`, taken in turns.
// Returns an exit code (printed).
int run_kernels(const std::vector<uint32_t>& threads, uint32_t repetitions,
                std::vector<BenchRow>* rows);

}  // namespace trit

#endif  // TRITSTACK_CMD_BENCH_KERNELS_H_
