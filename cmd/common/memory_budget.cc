// See memory_budget.h.
#include "cmd/common/memory_budget.h"

#include <algorithm>

#include "cmd/common/error.h"
#include "cmd/common/input.h"
#include "cmd/common/size_text.h"
#include "model_format/utf8.h"
#include "runtime/memory_plan.h"

namespace trit {

namespace {

// Of a text, per byte of UTF-8: itself, a copy, the largest array of ids; symbols and candidates of
// one word that is all of it (28, bpe.h). Bytes that are not UTF-8 become three each. Not counted:
// that some rare characters grow when they are normalised.
constexpr uint64_t kTokenizingBytes = 34;
// Shorter ones find room in what the process is said to take.
constexpr uint64_t kShortText = 16 << 10;

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

uint64_t tokenizing_bytes(const std::string& text) {
  if (text.size() <= kShortText) return 0;
  return text.size() * (is_utf8(text) ? 1 : 3) * kTokenizingBytes;
}

int read_in_budget(const std::string& path, uint64_t limit, const ModelFlags& flags,
                   std::string* text) {
  uint64_t budget = flags.memory.value_or(0);
  if (!flags.memory) trit_available_memory(nullptr, &budget, nullptr, 0, nullptr);
  const uint64_t most = budget / kTokenizingBytes + kShortText;
  if (const int code = read_text(path, std::min(limit, most), text)) return code;
  if (text->size() == most)
    return fail(TRIT_MEMORY, format("%s: expected less than %llu bytes of text, found more: "
                                    "each counts %llu, of %llu bytes of memory",
                                    path.c_str(), static_cast<unsigned long long>(most),
                                    static_cast<unsigned long long>(kTokenizingBytes),
                                    static_cast<unsigned long long>(budget)));
  return TRIT_OK;
}

int set_aside(uint64_t bytes, trit_model* model, ModelFlags* flags) {
  const bool gives_back = bytes < flags->aside;
  flags->aside = bytes;
  trit_status s = trit_model_set_aside(model, bytes);
  // Planes leave at once; those that come in are awaited, so that the first pass has them too.
  if (s == TRIT_OK && gives_back) s = trit_model_settle(model);
  return s ? fail_in_budget(s, *flags) : TRIT_OK;
}

size_t longest_message(uint32_t context) {
  return std::max<size_t>(size_t{context} * kTextBytesPerToken, kShortText);
}

int fail_in_budget(trit_status status, const ModelFlags& flags) {
  if (status != TRIT_MEMORY) return fail(status);
  return fail(status, std::string(trit_last_error()) +
                          (flags.pinned() ? "; --planes and --head-planes pin planes" : "") + "; " +
                          flags.smaller);
}

std::string planes_in_use(const ModelFlags& flags, const trit_model_info& info) {
  if (info.dense) return info.dense_f32 ? "dense f32" : "dense bf16";
  const std::string layers = "planes " + range_text(info.fewest_planes, info.planes),
                    head = "head planes " + range_text(info.fewest_head_planes, info.head_planes);
  if (info.prefix_blocks < info.blocks_present)
    return layers + ", " + head +
           format(", %u of %u blocks", info.blocks_in_use, info.blocks_stored);
  return layers + asked_text(info.planes, flags.planes) + ", " + head +
         asked_text(info.head_planes, flags.head_planes);
}

std::string memory_in_use(const trit_model_info& info) {
  const std::string text = "memory " + SizeUnit(info.resident_bytes).text(info.resident_bytes);
  if (info.memory_bytes == 0) return text + ", no limit";
  const bool slow = info.memory_bytes < info.smallest_bytes;
  return text + " of " + SizeUnit(info.memory_bytes).text(info.memory_bytes) +
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
  if (!flags_.no_pressure && trit_model_watch_memory(model_, on_planes, this) != TRIT_OK)
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
                           planes_in_use(self->flags_, info) + "; " + memory_in_use(info);
  if (self->lines_ == Lines::kAtOnce) return note(line);
  const std::lock_guard<std::mutex> lock(self->mutex_);
  self->held_.push_back(line);
}

}  // namespace trit
