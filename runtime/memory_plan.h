// What a model takes at each prefix of its stored order, by pure arithmetic from the head of its
// file: nothing is loaded, so a partial download can be planned, and what runs later counts with
// the same numbers, byte for byte. Resident bytes, rounded to pages as they will be mapped.
// Not here: how much there is (available_memory.h), who keeps the promise (plane_stack.h).
#ifndef TRITSTACK_RUNTIME_MEMORY_PLAN_H_
#define TRITSTACK_RUNTIME_MEMORY_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "model_format/reader.h"
#include "runtime/session_buffers.h"

namespace trit {

// Pages of a worker's stack, and of its part of the heap, that are touched.
constexpr uint64_t kThreadBytes = 16 << 10;

// Text that a program keeps of a conversation is planned for up to so many bytes for each token of
// a long context.
constexpr uint32_t kTextBytesPerToken = 8;

// The most planes of each matrix that are used, of layer matrices and of embedding and head;
// 0: all stored.
struct PlaneCaps {
  uint32_t planes = 0, head_planes = 0;

  bool lets_in(const MatrixInfo& matrix, uint32_t plane) const {
    const uint32_t most = is_layer_role(matrix.role) ? planes : head_planes;
    return most == 0 || plane < most;
  }
};
// kUsage when the base of some matrix has more planes than its cap.
Status check_caps(const ModelReader& reader, const PlaneCaps& caps);

// The blocks in use: those of a prefix of the stored order that the caps let in.
struct PlaneSelection {
  size_t blocks = 0;
  PlaneCaps caps;

  bool holds(const ModelReader& reader, size_t block) const;
};
bool operator==(const PlaneSelection& a, const PlaneSelection& b);
// What both hold.
PlaneSelection common_planes(const PlaneSelection& a, const PlaneSelection& b);
// The pages of those blocks.
std::vector<PageRange> pages_of(const ModelReader& reader, const PlaneSelection& planes);

// Bytes by what they are for. Their sum is the peak of the process.
struct MemoryUse {
  uint64_t process = 0;      // code, libraries, heap, what else the program holds already
  uint64_t head = 0;         // config, tables, norms and biases
  uint64_t tokenizer = 0;    // also of the head
  uint64_t weights = 0;      // planes of the prefix
  uint64_t cache = 0;        // keys and values of the whole context
  uint64_t activations = 0;  // and all else that sessions work in
  uint64_t threads = 0;      // their stacks
  uint64_t aside = 0;        // what the program says that it needs besides

  uint64_t total() const {
    return process + head + tokenizer + weights + cache + activations + threads + aside;
  }
};

// The part of a session: cache, activations, threads, the text of a long conversation.
MemoryUse session_use(const ModelReader& reader, const SessionShape& shape);

class MemoryPlan {
 public:
  // `reader` outlives the plan.
  MemoryPlan(const ModelReader& reader, const PlaneCaps& caps);

  const PlaneCaps& caps() const { return caps_; }
  void set_caps(const PlaneCaps& caps);
  // Sessions that run at once, each counted in full.
  void add(const MemoryUse& session);
  void remove(const MemoryUse& session);
  void set_aside(uint64_t bytes) { fixed_.aside = bytes; }

  // With the first `blocks` blocks of the stored order, base_blocks() to all.
  MemoryUse use(size_t blocks) const;
  uint64_t bytes(size_t blocks) const { return use(blocks).total(); }
  // The smallest budget that works: with the base alone.
  uint64_t smallest() const { return bytes(reader_->base_blocks()); }
  // The most blocks, of the first `most`, whose bytes are within the budget; none: not even the
  // base fits.
  std::optional<size_t> longest_prefix(uint64_t budget, size_t most) const;

 private:
  const ModelReader* reader_;
  PlaneCaps caps_;
  MemoryUse fixed_;                // all but the weights
  std::vector<uint64_t> weights_;  // [blocks] of each prefix
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_MEMORY_PLAN_H_
