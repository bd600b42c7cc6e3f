// Random models of the sizes that promises about memory are tested at, written by the command
// itself, and running them within a budget as a user would.
#ifndef TRITSTACK_TESTS_MEMORY_RANDOM_MODELS_H_
#define TRITSTACK_TESTS_MEMORY_RANDOM_MODELS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/memory_group.h"
#include "tests/support/temp_dir.h"

namespace trit {

constexpr const char* kDemo = "cmd/demo/stories.trit";
constexpr uint64_t kMiB = 1 << 20;

struct RandomShape {
  int layers, hidden, ffn, heads, kv_heads, head_dim, vocab, planes;
};
constexpr RandomShape k40MB = {12, 640, 1536, 10, 5, 64, 16000, 3};
constexpr RandomShape k700MB = {38, 1536, 4096, 12, 4, 128, 64000, 3};
constexpr RandomShape k4GB = {35, 3072, 12288, 24, 8, 128, 64000, 4};

// The path of a new file of this shape; one plane is its base, all matrices have residual ones.
std::string random_model(const TempDir& folder, const RandomShape& shape);

// What plan says.
struct PlannedPrefix {
  uint64_t blocks, bytes;
};
std::vector<PlannedPrefix> planned_prefixes(const std::string& model,
                                            const std::vector<std::string>& flags);

// `run` of a few tokens within a budget, stopped once all that plan said is resident.
struct BudgetRun {
  int exit_code;
  PlannedPrefix expected;  // the longest that fits
  uint64_t blocks;         // in use
  uint64_t peak_bytes;     // 0: the system does not tell
  std::string err;
};
// `tokens`: not to be stopped before so many are out.
BudgetRun run_in_budget(const std::string& model, const std::vector<PlannedPrefix>& plan,
                        uint64_t budget, const std::vector<std::string>& flags, size_t tokens = 4,
                        const MemoryGroup* group = nullptr);

// The system keeps no page of this file: who touches one reads it, and is charged for it.
void forget_file(const std::string& path);

}  // namespace trit

#endif  // TRITSTACK_TESTS_MEMORY_RANDOM_MODELS_H_
