// The loop of an answer: sample, hand out text, decode, until something stops it. Text leaves as
// whole characters, and never a piece that may yet become a stop text.
#ifndef TRITSTACK_RUNTIME_GENERATE_H_
#define TRITSTACK_RUNTIME_GENERATE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "model_format/span.h"
#include "model_format/status.h"
#include "runtime/session.h"

namespace trit {

// Holds back the end of a text while it may be the beginning of a stop text.
class StopMatcher {
 public:
  // `stops` outlives the matcher; none is empty.
  explicit StopMatcher(Span<const std::string_view> stops);

  // Takes the next piece. True when a stop text is complete; ready() is then what comes before it.
  bool next(std::string_view text);
  // What can be handed out now; valid until the next call of next() or last().
  std::string_view ready() const { return {held_.data(), ready_}; }
  // The text ends with `text`: what is left after the last ready().
  std::string_view last(std::string_view text);

 private:
  void drop_ready();

  Span<const std::string_view> stops_;
  size_t longest_ = 0;
  std::string held_;
  size_t ready_ = 0;
};

enum class Stop { kEnd, kText, kCount, kContext, kCallback, kCancelled };

struct GenerateOptions {
  int64_t max_tokens = -1;             // -1: no limit
  Span<const std::string_view> stops;  // none empty
  bool ignore_end = false;             // go on past end tokens
  bool special = false;                // special tokens appear in the text
  // Non-zero stops. Null: nobody listens. A last call with id kNoToken brings text held back.
  int (*on_text)(const char* text, size_t bytes, int32_t id, void* user) = nullptr;
  void* user = nullptr;
};

struct GenerateResult {
  Stop stop = Stop::kEnd;
  uint64_t tokens = 0;  // sampled, the end token not counted
};

// kUsage when the session has no logits. A cancel is Stop::kCancelled here, not an error.
Result<GenerateResult> generate(Session* session, const GenerateOptions& options);

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_GENERATE_H_
