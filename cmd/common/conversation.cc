// See conversation.h.
#include "cmd/common/conversation.h"

#include <unistd.h>

#include <algorithm>

#include "cmd/common/error.h"
#include "cmd/common/interrupt.h"
#include "cmd/common/output.h"
#include "cmd/common/terminal.h"

namespace trit {

Conversation::Conversation(const trit_model* model, trit_session* session, trit_reasoning reasoning,
                           int32_t max_tokens, const std::vector<std::string>& stops,
                           bool drop_oldest)
    : model_(model),
      session_(session),
      drops_oldest_(drop_oldest),
      max_tokens_(max_tokens),
      terminal_(is_terminal(STDOUT_FILENO)) {
  trit_chat_options_init(&chat_options_);
  chat_options_.reasoning = reasoning;
  for (const std::string& stop : stops) stops_.push_back(stop.c_str());
}

bool Conversation::drop_answer() {
  if (turns_.empty() || !turns_.back().answered) return false;
  turns_.back().answer.clear();
  turns_.back().answered = false;
  return true;
}

void Conversation::clear() {
  turns_.clear();
  trit_session_rewind(session_, 0);
}

std::string Conversation::stats() const {
  return format("context %u of %u tokens; ", trit_session_position(session_),
                trit_session_context(session_)) +
         timings_.text();
}

trit_status Conversation::render(size_t first_turn, TokenIds* ids) const {
  std::vector<trit_message> messages;
  if (!system_.empty()) messages.push_back({"system", system_.c_str()});
  for (size_t i = first_turn; i < turns_.size(); ++i) {
    const Turn& turn = turns_[i];
    messages.push_back({"user", turn.question.c_str()});
    if (turn.answered) messages.push_back({"assistant", turn.answer.c_str()});
  }
  return tokenize_chat(model_, messages, chat_options_, ids);
}

// What can be done about a context that `turns` fill; a single one leaves nothing to forget.
std::string Conversation::remedies(size_t turns) const {
  std::string text = turns == 1 ? "; this turn alone fills it" : "; /clear starts afresh";
  if (turns > 1 && !drops_oldest_) text += ", --drop-oldest forgets old turns";
  return text + larger_context(model_, trit_session_context(session_));
}

void Conversation::take_back(Answer* answer, int code, std::string message) {
  drop_question();
  answer->code = code;
  answer->message = std::move(message);
}

Answer Conversation::prepare() {
  const size_t context = trit_session_context(session_);
  // Dropping leaves room for an answer; without it, room for one token will do.
  const size_t wanted = max_tokens_ >= 0 ? static_cast<size_t>(max_tokens_) : context / 2;
  const size_t room = drops_oldest_ ? std::min(wanted, context / 2) : 1;
  const size_t last = drops_oldest_ ? turns_.size() - 1 : 0;
  Answer answer;
  for (size_t first = 0;; ++first) {
    if (const trit_status s = render(first, &answer.prompt)) {
      take_back(&answer, s, trit_last_error());
      return answer;
    }
    const bool fits = answer.prompt.size() + room <= context;
    if (!fits && first < last) continue;
    if (fits || answer.prompt.size() < context) {
      turns_.erase(turns_.begin(), turns_.begin() + static_cast<ptrdiff_t>(first));
      answer.dropped_turns = static_cast<int>(first);
      return answer;
    }
    const std::string full =
        format("the context is full: the conversation has %zu tokens, the context holds %zu",
               answer.prompt.size(), context);
    take_back(&answer, TRIT_LIMIT, full + remedies(turns_.size() - first));
    return answer;
  }
}

size_t Conversation::shared_with_cache(const TokenIds& prompt) const {
  const size_t held = std::min<size_t>(cached_.size(), trit_session_position(session_));
  const auto end = cached_.begin() + static_cast<ptrdiff_t>(held);
  const auto differs = std::mismatch(cached_.begin(), end, prompt.begin(), prompt.end()).first;
  // The last token is computed in any case.
  return std::min(static_cast<size_t>(differs - cached_.begin()), prompt.size() - 1);
}

void Conversation::generate(Answer* answer) {
  const size_t shared = shared_with_cache(answer->prompt);
  const Stopwatch prompt_time;
  if (const trit_status s =
          trit_session_prompt(session_, answer->prompt.data(), answer->prompt.size())) {
    return take_back(answer, s, trit_last_error());
  }
  timings_.prompt_tokens = answer->prompt.size() - shared;
  timings_.prompt_seconds = prompt_time.seconds();
  cached_ = answer->prompt;

  trit_generate_options options;
  trit_generate_options_init(&options);
  options.max_tokens = max_tokens_;
  options.stops = stops_.data();
  options.stop_count = stops_.size();
  trit_generate_result result = {};
  result.struct_size = sizeof result;
  held_newlines_ = 0;
  turns_.back().answered = true;
  const Stopwatch answer_time;
  const trit_status s = trit_session_generate(session_, &options, on_text, this, &result);
  timings_.answer_tokens = result.tokens;
  timings_.answer_seconds = answer_time.seconds();
  print("\n");
  if (s != TRIT_OK || interrupted()) {
    answer->code = interrupted() ? TRIT_CANCELLED : s;
    answer->message = interrupted() ? "interrupted" : trit_last_error();
  } else if (result.stop == TRIT_STOP_CONTEXT) {
    answer->code = TRIT_LIMIT;
    answer->message = format("the context of %u tokens is full", trit_session_context(session_));
    answer->message += remedies(turns_.size());
  }
}

int Conversation::on_text(const char* text, size_t bytes, int32_t id, void* user) {
  auto* self = static_cast<Conversation*>(user);
  if (id >= 0) self->cached_.push_back(id);
  self->turns_.back().answer.append(text, bytes);
  self->print_piece({text, bytes});
  return flush_output() && !interrupted() ? 0 : 1;
}

void Conversation::print_piece(std::string_view piece) {
  const size_t end = piece.find_last_not_of('\n');
  if (end != std::string_view::npos) {
    print(std::string(held_newlines_, '\n'));
    const std::string_view text = piece.substr(0, end + 1);
    print(terminal_ ? safe_for_terminal(text) : std::string(text));
    held_newlines_ = 0;
    piece.remove_prefix(end + 1);
  }
  held_newlines_ += piece.size();
}

}  // namespace trit
