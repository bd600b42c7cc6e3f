// The measurements of `tritstack bench` on models: which tests there are, their repetitions taken
// in turns (so that a drift of the machine meets all alike) with the roofline measured between
// them, and what is told of each. Not here: flags and the making of models (bench.cc).
#ifndef TRITSTACK_CMD_BENCH_RUN_H_
#define TRITSTACK_CMD_BENCH_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cmd/bench_table.h"
#include "cmd/common/model_flags.h"

namespace trit {

// One model file and the plane counts to run it with; 0: all it has.
struct BenchModel {
  std::string path;
  std::vector<uint32_t> planes;
};

struct BenchPlan {
  ModelFlags flags;  // what holds for all tests: head planes, cache types, chunk
  std::vector<BenchModel> models;
  std::vector<uint32_t> prompts, generations, depths, threads;  // 0 prompt or generation: none
  uint32_t repetitions = 5;

  bool has_sizes() const;  // any prompt or generation is not 0
};

// One row per test. Returns an exit code (printed).
int run_tests(const BenchPlan& plan, std::vector<BenchRow>* rows);

}  // namespace trit

#endif  // TRITSTACK_CMD_BENCH_RUN_H_
