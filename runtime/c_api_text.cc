// The text part of tritstack.h: tokens and chat formats of a model. See c_api.h.
#include <string>
#include <vector>

#include "runtime/c_api.h"
#include "runtime/text/chat_template.h"

namespace trit {

namespace {

// `count` values to a caller's buffer, all or nothing.
template <typename T>
Status fill(const T* values, size_t count, T* buffer, size_t capacity, size_t* needed) {
  *needed = count;
  if (count > capacity) {
    return usage("capacity: expected at least " + std::to_string(count) + ", found " +
                 std::to_string(capacity));
  }
  if (count) std::memcpy(buffer, values, count * sizeof(T));
  return Status();
}

Status check_buffer(const void* buffer, size_t capacity, const size_t* needed) {
  if (!needed) return null_argument("needed");
  if (!buffer && capacity) return null_argument("buffer");
  return Status();
}

Result<const Tokenizer*> tokenizer_of(const trit_model* model) {
  if (const Tokenizer* tokenizer = model->model->tokenizer()) return tokenizer;
  return Status(Code::kUnsupported, model->model->reader().path() +
                                        ": tokenizer: expected one, found none (the model "
                                        "was converted without tokenizer.json)");
}

Status check_flags(unsigned flags, unsigned known) {
  if ((flags & ~known) == 0) return Status();
  return usage("flags: unknown bits in " + std::to_string(flags));
}

Result<std::vector<ChatPart>> chat_parts(const trit_model* model, const trit_message* messages,
                                         size_t count, const trit_chat_options* options) {
  TRIT_REQUIRE(model);
  if (!messages && count) return null_argument("messages");
  trit_chat_options o;
  trit_chat_options_init(&o);
  TRIT_RETURN_IF_ERROR(read_options(options, &o));
  const int reasoning = number_of(o.reasoning);
  if (reasoning < TRIT_REASONING_AUTO || reasoning > TRIT_REASONING_OFF)
    return usage("reasoning: expected a trit_reasoning, found " + std::to_string(reasoning));
  std::vector<ChatMessage> chat;
  for (size_t i = 0; i < count; ++i) {
    const std::string name = "message " + std::to_string(i + 1);
    if (!messages[i].role) return null_argument(name + ": role");
    if (!messages[i].content) return null_argument(name + ": content");
    chat.push_back({messages[i].role, messages[i].content});
  }
  const ModelConfig& config = model->model->config();
  ChatOptions chat_options;
  chat_options.reasoning = static_cast<Reasoning>(reasoning);
  if (o.date) chat_options.date = o.date;
  if (const Tokenizer* tokenizer = model->model->tokenizer()) {
    if (config.bos != kNoToken) chat_options.bos = tokenizer->piece(config.bos);
    if (config.eos != kNoToken) chat_options.eos = tokenizer->piece(config.eos);
  }
  return render_chat(config.chat_family, Span<const ChatMessage>(chat), chat_options);
}

}  // namespace

}  // namespace trit

using namespace trit;  // the functions below are C: their names are in no namespace

trit_status trit_tokenize(const trit_model* model, const char* text, size_t bytes, unsigned flags,
                          int32_t* ids, size_t capacity, size_t* needed) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(model);
    if (!text && bytes) return null_argument("text");
    TRIT_RETURN_IF_ERROR(check_buffer(ids, capacity, needed));
    TRIT_RETURN_IF_ERROR(check_flags(flags, TRIT_ADD_BOS | TRIT_PARSE_SPECIAL));
    const auto tokenizer = tokenizer_of(model);
    if (!tokenizer.ok()) return tokenizer.status();
    std::vector<int32_t> out;
    tokenizer.value()->encode({text, bytes}, (flags & TRIT_ADD_BOS) != 0,
                              (flags & TRIT_PARSE_SPECIAL) != 0, &out);
    return fill(out.data(), out.size(), ids, capacity, needed);
  });
}

trit_status trit_detokenize(const trit_model* model, const int32_t* ids, size_t count,
                            unsigned flags, char* text, size_t capacity, size_t* needed) {
  return guarded([&]() -> Status {
    TRIT_REQUIRE(model);
    if (!ids && count) return null_argument("ids");
    TRIT_RETURN_IF_ERROR(check_buffer(text, capacity, needed));
    TRIT_RETURN_IF_ERROR(check_flags(flags, TRIT_PARSE_SPECIAL));
    const auto tokenizer = tokenizer_of(model);
    if (!tokenizer.ok()) return tokenizer.status();
    TRIT_RETURN_IF_ERROR(model->model->check_ids({ids, count}));
    const std::string out =
        tokenizer.value()->decode({ids, count}, (flags & TRIT_PARSE_SPECIAL) != 0);
    return fill(out.data(), out.size(), text, capacity, needed);
  });
}

int trit_is_end_token(const trit_model* model, int32_t id) {
  return model && model->model->is_end_token(id);
}

void trit_chat_options_init(trit_chat_options* options) {
  if (!options) return;
  *options = {};
  options->struct_size = sizeof *options;
}

trit_status trit_format_chat(const trit_model* model, const trit_message* messages, size_t count,
                             const trit_chat_options* options, char* text, size_t capacity,
                             size_t* needed) {
  return guarded([&]() -> Status {
    TRIT_RETURN_IF_ERROR(check_buffer(text, capacity, needed));
    const auto parts = chat_parts(model, messages, count, options);
    if (!parts.ok()) return parts.status();
    std::string out;
    for (const ChatPart& part : parts.value()) out += part.text;
    return fill(out.data(), out.size(), text, capacity, needed);
  });
}

trit_status trit_tokenize_chat(const trit_model* model, const trit_message* messages, size_t count,
                               const trit_chat_options* options, int32_t* ids, size_t capacity,
                               size_t* needed) {
  return guarded([&]() -> Status {
    TRIT_RETURN_IF_ERROR(check_buffer(ids, capacity, needed));
    const auto parts = chat_parts(model, messages, count, options);
    if (!parts.ok()) return parts.status();
    const auto tokenizer = tokenizer_of(model);
    if (!tokenizer.ok()) return tokenizer.status();
    std::vector<TextPart> texts;
    for (const ChatPart& part : parts.value()) texts.push_back({part.text, part.from_template});
    std::vector<int32_t> out;
    tokenizer.value()->encode(Span<const TextPart>(texts), false, &out);
    return fill(out.data(), out.size(), ids, capacity, needed);
  });
}
