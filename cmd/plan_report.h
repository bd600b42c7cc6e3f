// What `tritstack plan` knows and how it shows that: as a table, as a curve, as JSON. Not here:
// where it comes from (plan.cc), the pictures of a curve (common/curve.h).
#ifndef TRITSTACK_CMD_PLAN_REPORT_H_
#define TRITSTACK_CMD_PLAN_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cmd/common/curve.h"
#include "model_format/reader.h"
#include "runtime/available_memory.h"
#include "runtime/memory_plan.h"

namespace trit {

// The fewest and the most planes of the matrices of a kind; 0: none of them has planes.
struct PlaneRange {
  uint32_t least = 0, most = 0;
};

struct Prefix {
  size_t blocks;
  uint64_t memory;       // of the whole process
  uint64_t block_bytes;  // of its blocks in the file
  PlaneRange layers, head;
  double quality;
  bool here;  // not yet to be downloaded
};

struct Plan {
  const ModelReader& reader;
  SessionShape shape;
  MemoryPlan memory;
  bool measured;                 // qualities are perplexities of the file, else percents of a loss
  std::vector<Prefix> prefixes;  // of the stored order, from the base on
  uint64_t weights;              // of the model
  AvailableMemory available;
  bool automatic;  // the budget comes from `available`
  uint64_t budget;
  std::optional<size_t> chosen;  // of `prefixes`: what the budget buys of what is here, or will
};

void print_table(const Plan& plan);
void print_plot(const Plan& plan);
void print_json(const Plan& plan);
Curve plan_curve(const Plan& plan);

}  // namespace trit

#endif  // TRITSTACK_CMD_PLAN_REPORT_H_
