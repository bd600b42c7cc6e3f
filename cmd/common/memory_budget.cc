// See memory_budget.h.
#include "cmd/common/memory_budget.h"

#include "cmd/common/error.h"
#include "cmd/common/size_text.h"

namespace trit {

namespace {

std::string planes_text(const char* what, uint32_t used, const std::optional<int64_t>& asked) {
  const std::string text = format("%s %u", what, used);
  if (asked.value_or(0) <= used) return text;
  return text + format(" (all there are, %lld asked)", static_cast<long long>(*asked));
}

}  // namespace

std::string planes_in_use(const ModelFlags& flags, const trit_model_info& info) {
  if (info.dense) return info.dense_f32 ? "dense f32" : "dense bf16";
  std::string text = planes_text("planes", info.planes, flags.planes) + ", " +
                     planes_text("head planes", info.head_planes, flags.head_planes);
  if (info.prefix_blocks < info.blocks_present)
    text += format(", %u of %u blocks", info.blocks_in_use, info.blocks_stored);
  return text;
}

std::string memory_in_use(const ModelFlags& flags, const trit_model_info& info) {
  const uint64_t used = info.resident_bytes + flags.aside;
  const std::string text = "memory " + SizeUnit(used).text(used);
  if (info.memory_bytes == 0) return text + ", no limit";
  const uint64_t budget = info.memory_bytes + flags.aside;
  const bool slow = info.memory_bytes < info.smallest_bytes;
  return text + " of " + SizeUnit(budget).text(budget) +
         (slow ? ": too little, so slow, from pages that the system takes back" : "");
}

}  // namespace trit
