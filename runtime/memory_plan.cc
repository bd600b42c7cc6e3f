// See memory_plan.h.
#include "runtime/memory_plan.h"

#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <string>

#include "runtime/weights.h"

namespace trit {

namespace {

// Measured with the command, release build (tests/cmd/peak_memory_test.cc checks it): code and
// libraries that were touched, heap, stacks of the main and of the loading thread.
constexpr uint64_t kProcessBytes = uint64_t{21} << 18;
// What a process that opens a model has yet to touch: kernels, heap.
constexpr uint64_t kProcessGrowth = uint64_t{1} << 19;
// What a program keeps of a token in a conversation and needs while it makes ids of its text: the
// text, 34 bytes for each of its bytes to tokenize it (text/bpe.h), and copies. Short contexts have
// room in what the process takes.
constexpr uint64_t kTextMemoryPerToken = uint64_t{40} * kTextBytesPerToken;
constexpr uint32_t kShortContext = 2048;

uint64_t round_up(uint64_t bytes, uint64_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

uint64_t resident_now() {
  uint64_t pages = 0;
  if (FILE* file = std::fopen("/proc/self/statm", "re")) {
    unsigned long long total = 0, resident = 0;
    if (std::fscanf(file, "%llu %llu", &total, &resident) == 2) pages = resident;
    std::fclose(file);
  }
  return pages * page_bytes();
}

// What the heap holds of a head: its tables, and views of two plane sets while one takes the
// other's place.
uint64_t table_bytes(const ModelReader& reader) {
  return reader.blocks().size() * (sizeof(BlockInfo) + sizeof(uint64_t)) +
         reader.matrices().size() * sizeof(MatrixInfo) +
         reader.config().n_layers *
             (2 * sizeof(LayerWeights) + kVectorRoles * sizeof(Span<const float>));
}

Status check_cap(const ModelReader& reader, const char* kind, uint32_t cap, uint32_t least) {
  if (cap == 0 || cap >= least) return Status();
  return Status(Code::kUsage, reader.path() + ": " + kind + ": expected at least " +
                                  std::to_string(least) + " (the base of this model), found " +
                                  std::to_string(cap));
}

}  // namespace

Status check_caps(const ModelReader& reader, const PlaneCaps& caps) {
  uint32_t least_layers = 1, least_head = 1;
  for (const MatrixInfo& m : reader.matrices()) {
    uint32_t& least = is_layer_role(m.role) ? least_layers : least_head;
    least = std::max(least, m.base_planes);
  }
  TRIT_RETURN_IF_ERROR(check_cap(reader, "planes", caps.planes, least_layers));
  return check_cap(reader, "head planes", caps.head_planes, least_head);
}

bool PlaneSelection::holds(const ModelReader& reader, size_t block) const {
  const BlockInfo& info = reader.blocks()[block];
  return block < blocks && caps.lets_in(reader.matrices()[info.matrix], info.plane);
}

bool operator==(const PlaneSelection& a, const PlaneSelection& b) {
  return a.blocks == b.blocks && a.caps.planes == b.caps.planes &&
         a.caps.head_planes == b.caps.head_planes;
}

PlaneSelection common_planes(const PlaneSelection& a, const PlaneSelection& b) {
  // 0 is no cap: one less than that is the largest number.
  const auto lower = [](uint32_t x, uint32_t y) { return std::min(x - 1, y - 1) + 1; };
  return {std::min(a.blocks, b.blocks),
          {lower(a.caps.planes, b.caps.planes), lower(a.caps.head_planes, b.caps.head_planes)}};
}

std::vector<PageRange> pages_of(const ModelReader& reader, const PlaneSelection& planes) {
  std::vector<PageRange> pages;
  for (size_t i = 0; i < planes.blocks; ++i) {
    const BlockInfo& block = reader.blocks()[i];
    if (planes.holds(reader, i))
      append_pages(&pages, pages_of(block.offset, block.offset + block.bytes));
  }
  return pages;
}

MemoryUse session_use(const ModelReader& reader, const SessionShape& shape) {
  const ModelConfig& config = reader.config();
  SessionBuffers buffers{{Ops(&config, nullptr, nullptr, nullptr), {}, {}, {}}, {}};
  Arena arena(nullptr), cache(nullptr);
  buffers.carve(&arena, reader, shape);
  buffers.workspace.cache.carve(&cache, config, shape.context, shape.cache_k, shape.cache_v);
  MemoryUse use;
  if (arena.overflowed()) {
    use.cache = UINT64_MAX / 2;  // more than any budget
    return use;
  }
  use.cache = cache.used();
  use.activations = round_up(arena.used(), page_bytes()) - use.cache;
  use.threads = (shape.threads - 1) * kThreadBytes;
  use.process = (std::max(shape.context, kShortContext) - kShortContext) * kTextMemoryPerToken;
  return use;
}

MemoryPlan::MemoryPlan(const ModelReader& reader, const PlaneCaps& caps) : reader_(&reader) {
  const uint64_t head = pages_of(0, reader.head_bytes()).end;  // resident: it was hashed
  const uint64_t tables = table_bytes(reader), now = resident_now();
  fixed_.process =
      std::max(kProcessBytes + tables, now + kProcessGrowth - std::min(head + tables, now));
  fixed_.tokenizer = reader.tokenizer().size();
  fixed_.head = head - fixed_.tokenizer;
  set_caps(caps);
}

void MemoryPlan::set_caps(const PlaneCaps& caps) {
  caps_ = caps;
  weights_.assign(1, 0);
  const PlaneSelection all{reader_->blocks().size(), caps};
  uint64_t end = 0;  // of the pages counted
  for (size_t i = 0; i < all.blocks; ++i) {
    const BlockInfo& block = reader_->blocks()[i];
    const PageRange pages = pages_of(block.offset, block.offset + block.bytes);
    uint64_t bytes = 0;
    if (all.holds(*reader_, i)) {
      bytes = pages.end - std::max(pages.begin, end);
      end = pages.end;
    }
    weights_.push_back(weights_.back() + bytes);
  }
}

void MemoryPlan::add(const MemoryUse& session) {
  fixed_.process += session.process;
  fixed_.cache += session.cache;
  fixed_.activations += session.activations;
  fixed_.threads += session.threads;
}

void MemoryPlan::remove(const MemoryUse& session) {
  fixed_.process -= session.process;
  fixed_.cache -= session.cache;
  fixed_.activations -= session.activations;
  fixed_.threads -= session.threads;
}

MemoryUse MemoryPlan::use(size_t blocks) const {
  assert(blocks < weights_.size());
  MemoryUse use = fixed_;
  use.weights = weights_[blocks];
  return use;
}

std::optional<size_t> MemoryPlan::longest_prefix(uint64_t budget, size_t most) const {
  const size_t base = reader_->base_blocks();
  assert(most >= base && most < weights_.size());
  const uint64_t others = fixed_.total();
  if (smallest() > budget) return std::nullopt;
  const auto first = weights_.begin() + static_cast<ptrdiff_t>(base);
  const auto last = weights_.begin() + static_cast<ptrdiff_t>(most) + 1;
  return static_cast<size_t>(std::upper_bound(first, last, budget - others) - weights_.begin()) - 1;
}

}  // namespace trit
