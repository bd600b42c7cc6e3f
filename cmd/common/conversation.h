// A conversation and its answers: the turns so far, the prompt they make in the model's chat
// format, and the answer streamed to standard output. Uses only the public C API. Not here: where
// questions come from, and what to do about errors (chat.cc).
#ifndef TRITSTACK_CMD_COMMON_CONVERSATION_H_
#define TRITSTACK_CMD_COMMON_CONVERSATION_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/common/model_flags.h"
#include "cmd/common/timings.h"

namespace trit {

// How one answer went. code 0: well; TRIT_CANCELLED: stopped; TRIT_LIMIT: the context is full.
struct Answer {
  int code = TRIT_OK;
  std::string message;  // when code is an error
  int dropped_turns = 0;
  TokenIds prompt;
};

class Conversation {
 public:
  Conversation(const trit_model* model, trit_session* session, trit_reasoning reasoning,
               int32_t max_tokens, const std::vector<std::string>& stops, bool drop_oldest);

  void set_system(std::string text) { system_ = std::move(text); }
  void add_question(std::string text) { turns_.push_back({std::move(text), "", false}); }
  bool drop_answer();  // of the last turn; false when there is none
  void drop_question() { turns_.pop_back(); }
  // Forgets the cache too: what it holds may be from other planes than are in use now.
  void clear();
  std::string stats() const;

  // Renders the last question and what came before. Where that does not fit the context, the
  // oldest turns go if they may; otherwise the question is taken back.
  Answer prepare();
  // Answers the last question: prefill, sample, print. What was said so far stays in the
  // conversation when it is stopped.
  void generate(Answer* answer);

 private:
  struct Turn {
    std::string question, answer;
    bool answered;
  };
  trit_status render(size_t first_turn, TokenIds* ids) const;
  std::string remedies(size_t turns) const;
  size_t shared_with_cache(const TokenIds& prompt) const;
  void take_back(Answer* answer, int code, std::string message);
  static int on_text(const char* text, size_t bytes, int32_t id, void* user);
  void print_piece(std::string_view piece);

  const trit_model* model_;
  trit_session* session_;
  const bool drops_oldest_;
  trit_chat_options chat_options_;
  int32_t max_tokens_;
  std::vector<const char*> stops_;
  std::string system_;
  std::vector<Turn> turns_;
  const bool terminal_;
  size_t held_newlines_ = 0;  // an answer ends with exactly one
  TokenIds cached_;           // the last prompt and answer: where the cache is shorter, its start
  Timings timings_;           // of the last answer
};

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_CONVERSATION_H_
