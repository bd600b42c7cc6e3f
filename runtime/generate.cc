// See generate.h. Text is handed out before its token is decoded: it shows one token earlier.
#include "runtime/generate.h"

#include <algorithm>
#include <optional>

namespace trit {

namespace {

constexpr size_t kTextReserve = 1024;  // longer than any piece of a tokenizer in use

// One answer in the making.
class Answer {
 public:
  Answer(Session* session, const GenerateOptions& options)
      : session_(session), options_(options), matcher_(options.stops) {
    text_.reserve(kTextReserve);
    const Tokenizer* tokenizer = session->model().tokenizer();
    if (!tokenizer) return;
    // Right after BOS a SentencePiece text begins, whose first space is not part of it.
    const bool at_start = session->position() == 1 && tokenizer->is_special(session->tokens()[0]);
    decoder_.emplace(tokenizer, options.special, at_start);
  }

  // Samples a token, hands out its text and decodes it. A value: the answer is over.
  std::optional<Stop> next_token(uint64_t* tokens) {
    if (session_->cancelled()) return Stop::kCancelled;
    if (options_.max_tokens >= 0 && *tokens == static_cast<uint64_t>(options_.max_tokens))
      return Stop::kCount;
    if (session_->position() == session_->context()) return Stop::kContext;
    const int32_t id = session_->sample().value();
    if (!options_.ignore_end && session_->model().is_end_token(id)) return Stop::kEnd;
    ++*tokens;
    text_.clear();
    if (decoder_) decoder_->next(id, &text_);
    const bool complete = matcher_.next(text_);
    const bool refused = hand_out(matcher_.ready(), id);
    const Status appended = session_->append({&id, 1}, nullptr);
    const bool cancelled = appended.code() == Code::kCancelled;
    if (!appended.ok() && !cancelled) failure_ = appended;
    if (cancelled) return Stop::kCancelled;  // first: the token is not in the cache
    if (complete) return Stop::kText;
    if (refused) return Stop::kCallback;
    return std::nullopt;
  }

  // Why the answer cannot go on at all: the file of the model failed.
  const Status& failure() const { return failure_; }

  void hand_out_rest() {
    text_.clear();
    if (decoder_) decoder_->finish(&text_);
    const std::string_view rest = matcher_.last(text_);
    if (!rest.empty()) hand_out(rest, kNoToken);
  }

 private:
  bool hand_out(std::string_view text, int32_t id) {
    return options_.on_text && options_.on_text(text.data(), text.size(), id, options_.user) != 0;
  }

  Session* session_;
  const GenerateOptions& options_;
  StopMatcher matcher_;
  std::optional<StreamDecoder> decoder_;
  std::string text_;  // of the current token
  Status failure_;
};

}  // namespace

StopMatcher::StopMatcher(Span<const std::string_view> stops) : stops_(stops) {
  for (const std::string_view stop : stops) longest_ = std::max(longest_, stop.size());
  held_.reserve(longest_ + kTextReserve);
}

void StopMatcher::drop_ready() {
  held_.erase(0, ready_);
  ready_ = 0;
}

bool StopMatcher::next(std::string_view text) {
  drop_ready();
  held_.append(text);
  size_t found = std::string::npos;
  for (const std::string_view stop : stops_) found = std::min(found, held_.find(stop));
  if (found != std::string::npos) {
    ready_ = found;
    return true;
  }
  const auto may_begin_stop = [&](size_t begin) {
    const std::string_view tail = std::string_view(held_).substr(begin);
    return std::any_of(stops_.begin(), stops_.end(),
                       [&](std::string_view stop) { return stop.substr(0, tail.size()) == tail; });
  };
  const size_t longest_tail = std::min(held_.size(), longest_ ? longest_ - 1 : 0);
  ready_ = held_.size() - longest_tail;
  while (ready_ < held_.size() && !may_begin_stop(ready_)) ++ready_;
  return false;
}

std::string_view StopMatcher::last(std::string_view text) {
  drop_ready();
  held_.append(text);
  ready_ = held_.size();
  return ready();
}

Result<GenerateResult> generate(Session* session, const GenerateOptions& options) {
  if (!session->logits())
    return Status(Code::kUsage, "generate: no logits yet: append a token first");
  const CancelFlag::Running running = session->run();
  Answer answer(session, options);
  GenerateResult result;
  std::optional<Stop> stop;
  while (!stop && answer.failure().ok()) stop = answer.next_token(&result.tokens);
  if (!answer.failure().ok()) return answer.failure();
  result.stop = *stop;
  // After a stop text or a refusal nobody wants what was held back.
  if (result.stop != Stop::kText && result.stop != Stop::kCallback) answer.hand_out_rest();
  return result;
}

}  // namespace trit
