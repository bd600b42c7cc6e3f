// See memory_budget.h.
#include "cmd/common/memory_budget.h"

#include <algorithm>

#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/size_text.h"

namespace trit {

namespace {

// Per byte of a text: itself, its ids, and those of the tokenizer, a vector that grows. Not a
// bound: the symbols of words that are long (bpe.h) take as much again.
constexpr uint64_t kTokenizingBytes = 17;
// Shorter ones find room in what the process is said to take.
constexpr uint64_t kShortText = 64 << 10;

std::string planes_text(const char* what, uint32_t fewest, uint32_t most) {
  return fewest == most ? format("%s %u", what, most) : format("%s %u-%u", what, fewest, most);
}

std::string asked_text(uint32_t used, const std::optional<int64_t>& asked) {
  if (asked.value_or(0) <= used) return "";
  return format(" (all there are, %lld asked)", static_cast<long long>(*asked));
}

const char* reason_text(trit_planes_reason reason) {
  switch (reason) {
    case TRIT_PLANES_SCARCE:
      return "memory is scarce";
    case TRIT_PLANES_STALLED:
      return "others wait for memory";
    case TRIT_PLANES_EASED:
      return "there is more memory again";
    case TRIT_PLANES_FILE_GREW:
      return "the file has grown";
  }
  return "";
}

}  // namespace

void decide_memory(ModelFlags* flags) {
  if (flags->memory || flags->planes || flags->head_planes) return;
  uint64_t budget = 0;
  size_t bytes = 0;
  flags->memory_reason.resize(1024);
  trit_available_memory(nullptr, &budget, flags->memory_reason.data(), flags->memory_reason.size(),
                        &bytes);
  flags->memory_reason.resize(std::min(bytes, flags->memory_reason.size()));
  flags->memory = budget;
}

int read_in_budget(const std::string& path, uint64_t limit, ModelFlags* flags, std::string* text) {
  const uint64_t most = flags->memory ? *flags->memory / kTokenizingBytes + kShortText : UINT64_MAX;
  if (const int code = read_text(path, std::min(limit, most), text)) return code;
  if (text->size() == most)
    return fail(TRIT_MEMORY, format("%s: expected less than %llu bytes of text, found more: "
                                    "tokenizing counts %llu a byte, --memory allows %llu",
                                    path.c_str(), static_cast<unsigned long long>(most),
                                    static_cast<unsigned long long>(kTokenizingBytes),
                                    static_cast<unsigned long long>(*flags->memory)));
  if (flags->memory && text->size() > kShortText) flags->aside = text->size() * kTokenizingBytes;
  return TRIT_OK;
}

int set_aside(uint64_t bytes, trit_model* model, ModelFlags* flags) {
  if (!flags->memory) return TRIT_OK;
  const bool gives_back = bytes < flags->aside;
  flags->aside = bytes;
  trit_status s = trit_model_set_memory(model, rest_of_budget(*flags));
  // Planes leave at once; those that come in are awaited, so that the first pass has them too.
  if (s == TRIT_OK && gives_back) s = trit_model_settle(model);
  return s ? fail_in_budget(s, *flags) : check_pinned(*flags, model_info(model));
}

uint64_t rest_of_budget(const ModelFlags& flags) {
  return std::max(*flags.memory, flags.aside + 1) - flags.aside;
}

int fail_in_budget(trit_status status, const ModelFlags& flags) {
  if (status != TRIT_MEMORY) return fail(status);
  const std::string aside = flags.aside
                                ? format("beside %llu bytes that this command needs for itself: ",
                                         static_cast<unsigned long long>(flags.aside))
                                : "";
  return fail(status, aside + trit_last_error() +
                          "; a smaller -c or -ctk q8_0 -ctv q8_0 makes the cache smaller");
}

std::string planes_in_use(const ModelFlags& flags, const trit_model_info& info) {
  if (info.dense) return info.dense_f32 ? "dense f32" : "dense bf16";
  const std::string layers = planes_text("planes", info.fewest_planes, info.planes),
                    head = planes_text("head planes", info.fewest_head_planes, info.head_planes);
  if (info.prefix_blocks < info.blocks_present)
    return layers + ", " + head +
           format(", %u of %u blocks", info.blocks_in_use, info.blocks_stored);
  return layers + asked_text(info.planes, flags.planes) + ", " + head +
         asked_text(info.head_planes, flags.head_planes);
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

std::string budget_reason(const ModelFlags& flags) {
  if (flags.memory_reason.empty()) return "";
  return format(" (--memory %llu), seven eighths of ",
                static_cast<unsigned long long>(*flags.memory)) +
         flags.memory_reason;
}

PressureWatch::PressureWatch(const ModelFlags& flags, trit_model* model, Lines lines)
    : flags_(flags), model_(model), lines_(lines) {
  if (!flags.memory_reason.empty()) start();
}

void PressureWatch::start() {
  // A watch that the system refuses is no reason not to run.
  if (!flags_.no_pressure &&
      trit_model_watch_memory(model_, flags_.aside, on_planes, this) != TRIT_OK)
    note(trit_last_error());
}

void PressureWatch::stop() {
  trit_model_unwatch_memory(model_);
}

void PressureWatch::show_held() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const std::string& line : held_) note(line);
  held_.clear();
}

void PressureWatch::on_planes(trit_planes_reason reason, void* user) {
  auto* self = static_cast<PressureWatch*>(user);
  const trit_model_info info = model_info(self->model_);
  const std::string line = std::string(reason_text(reason)) + ": " +
                           planes_in_use(self->flags_, info) + "; " +
                           memory_in_use(self->flags_, info);
  if (self->lines_ == Lines::kAtOnce) return note(line);
  const std::lock_guard<std::mutex> lock(self->mutex_);
  self->held_.push_back(line);
}

}  // namespace trit
