// See chat_template.h. One function per family, each the template of that family's model card in
// C++; Jinja's `trim` is Python's str.strip(). What no template of ours speaks of (tools) is
// absent.
#include "runtime/text/chat_template.h"

#include "runtime/text/unicode.h"

namespace trit {

namespace {

using Messages = Span<const ChatMessage>;

// What Python's str.strip() takes away.
bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

std::string_view trim_left(std::string_view text) {
  for (CodePoint c = decode_utf8(text, 0); c.bytes > 0 && is_python_space(c.value);
       c = decode_utf8(text, 0)) {
    text.remove_prefix(c.bytes);
  }
  return text;
}

std::string_view trim_right(std::string_view text) {
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!is_python_space(decode_utf8(text, begin).value)) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::string_view trim(std::string_view text) {
  return trim_left(trim_right(text));
}

std::string_view strip_newlines_left(std::string_view text) {
  const size_t begin = text.find_first_not_of('\n');
  return begin == text.npos ? std::string_view() : text.substr(begin);
}

std::string_view strip_newlines_right(std::string_view text) {
  return text.substr(0, text.find_last_not_of('\n') + 1);
}

// The prompt as it grows: the template's own text and message content kept apart.
class Prompt {
 public:
  void own(std::string_view text) { append(text, true); }
  void content(std::string_view text) { append(text, false); }
  std::vector<ChatPart> take() { return std::move(parts_); }

 private:
  void append(std::string_view text, bool from_template) {
    if (text.empty()) return;
    if (parts_.empty() || parts_.back().from_template != from_template) {
      parts_.push_back({std::string(), from_template});
    }
    parts_.back().text += text;
  }
  std::vector<ChatPart> parts_;
};

bool is_role(const ChatMessage& m, std::string_view role) {
  return m.role == role;
}
bool begins_with_system(Messages messages) {
  return is_role(messages[0], "system");
}
Messages without_system(Messages messages) {
  const size_t skipped = begins_with_system(messages) ? 1 : 0;
  return Messages(messages.data() + skipped, messages.size() - skipped);
}

Status check_roles(Messages messages) {
  if (messages.empty()) return Status(Code::kUsage, "a conversation needs at least one message");
  for (const ChatMessage& m : messages) {
    if (!is_role(m, "system") && !is_role(m, "user") && !is_role(m, "assistant")) {
      return Status(Code::kUsage,
                    "roles are system, user and assistant, this one is " + quoted(m.role));
    }
  }
  return Status();
}

// user, assistant, user, ... after an optional system message.
Status check_alternating(Messages messages) {
  const Messages turns = without_system(messages);
  if (turns.empty()) return Status(Code::kUsage, "this chat format needs a user message");
  for (size_t i = 0; i < turns.size(); ++i) {
    if (!is_role(turns[i], i % 2 == 0 ? "user" : "assistant")) {
      return Status(Code::kUsage,
                    "roles must alternate user, assistant, user, ... after the system message");
    }
  }
  return Status();
}

void plain(Messages messages, const ChatOptions& options, Prompt* out) {
  out->own(options.bos);
  for (const ChatMessage& m : messages) {
    if (is_role(m, "user")) out->own("User: ");
    if (is_role(m, "assistant")) out->own("Assistant: ");
    out->content(trim(m.content));
    out->own(is_role(m, "system") ? "\n\n" : "\n");
  }
  out->own("Assistant:");
}

void chatml_turn(std::string_view role, std::string_view content, Prompt* out) {
  out->own("<|im_start|>");
  out->own(role);
  out->own("\n");
  out->content(content);
  out->own("<|im_end|>\n");
}

void chatml(Messages messages, const ChatOptions& options, Prompt* out) {
  out->own(options.bos);
  for (const ChatMessage& m : messages) chatml_turn(m.role, trim(m.content), out);
  out->own("<|im_start|>assistant\n");
}

void qwen25(Messages messages, Prompt* out) {
  if (!begins_with_system(messages)) {
    out->own(
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
        "assistant.<|im_end|>\n");
  }
  for (const ChatMessage& m : messages) chatml_turn(m.role, m.content, out);
  out->own("<|im_start|>assistant\n");
}

// An answer of the past: its thoughts are kept only behind the last question.
void qwen3_answer(std::string_view content, bool behind_last_question, bool last, Prompt* out) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  std::string_view thoughts;
  if (const size_t close = content.find(kClose); close != content.npos) {
    thoughts = strip_newlines_right(content.substr(0, close));
    if (const size_t open = thoughts.rfind(kOpen); open != thoughts.npos) {
      thoughts = thoughts.substr(open + kOpen.size());
    }
    thoughts = strip_newlines_left(thoughts);
    content = strip_newlines_left(content.substr(content.rfind(kClose) + kClose.size()));
  }
  out->own("<|im_start|>assistant\n");
  if (behind_last_question && (last || !thoughts.empty())) {
    out->own("<think>\n");
    out->content(strip_newlines_right(thoughts));
    out->own("\n</think>\n\n");
    content = strip_newlines_left(content);
  }
  out->content(content);
  out->own("<|im_end|>\n");
}

bool is_tool_response(std::string_view text) {
  constexpr std::string_view kOpen = "<tool_response>", kClose = "</tool_response>";
  return text.substr(0, kOpen.size()) == kOpen && text.size() >= kClose.size() &&
         text.substr(text.size() - kClose.size()) == kClose;
}

void qwen3(Messages messages, const ChatOptions& options, Prompt* out) {
  size_t last_question = messages.size() - 1;
  for (size_t i = messages.size(); i-- > 0;) {
    if (is_role(messages[i], "user") && !is_tool_response(messages[i].content)) {
      last_question = i;
      break;
    }
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    if (is_role(messages[i], "assistant")) {
      qwen3_answer(messages[i].content, i > last_question, i + 1 == messages.size(), out);
    } else {
      chatml_turn(messages[i].role, messages[i].content, out);
    }
  }
  out->own("<|im_start|>assistant\n");
  if (options.reasoning == Reasoning::kOff) out->own("<think>\n\n</think>\n\n");
}

void llama3_turn(std::string_view role, std::string_view content, Prompt* out) {
  out->own("<|start_header_id|>");
  out->own(role);
  out->own("<|end_header_id|>\n\n");
  out->content(trim(content));
  out->own("<|eot_id|>");
}

void llama3(Messages messages, const ChatOptions& options, Prompt* out) {
  out->own(options.bos);
  for (const ChatMessage& m : messages) llama3_turn(m.role, m.content, out);
  out->own("<|start_header_id|>assistant<|end_header_id|>\n\n");
}

// From 3.1 on; 3.2 differs only in where an unset date comes from.
void llama31(Messages messages, const ChatOptions& options, Prompt* out) {
  out->own(options.bos);
  out->own("<|start_header_id|>system<|end_header_id|>\n\n");
  out->own("Cutting Knowledge Date: December 2023\nToday Date: ");
  out->content(options.date);
  out->own("\n\n");
  if (begins_with_system(messages)) out->content(trim(messages[0].content));
  out->own("<|eot_id|>");
  for (const ChatMessage& m : without_system(messages)) llama3_turn(m.role, m.content, out);
  out->own("<|start_header_id|>assistant<|end_header_id|>\n\n");
}

void llama2(Messages messages, const ChatOptions& options, Prompt* out) {
  bool after_system = begins_with_system(messages);
  for (const ChatMessage& m : without_system(messages)) {
    if (is_role(m, "assistant")) {
      out->own(" ");
      out->content(trim(m.content));
      out->own(" ");
      out->own(options.eos);
      continue;
    }
    out->own(options.bos);
    out->own("[INST] ");
    if (after_system) {
      // The template trims system text and question as one.
      const std::string_view question = trim_right(m.content);
      out->own("<<SYS>>\n");
      out->content(trim(messages[0].content));
      out->own(question.empty() ? "\n<</SYS>>" : "\n<</SYS>>\n\n");
      out->content(question);
      after_system = false;
    } else {
      out->content(trim(m.content));
    }
    out->own(" [/INST]");
  }
}

// The system text goes in front of the last question.
void mistral(Messages messages, const ChatOptions& options, Prompt* out) {
  out->own(options.bos);
  const Messages turns = without_system(messages);
  for (size_t i = 0; i < turns.size(); ++i) {
    if (is_role(turns[i], "assistant")) {
      out->content(turns[i].content);
      out->own(options.eos);
      continue;
    }
    out->own("[INST]");
    if (i + 1 == turns.size() && begins_with_system(messages)) {
      out->content(messages[0].content);
      out->own("\n\n");
    }
    out->content(turns[i].content);
    out->own("[/INST]");
  }
}

void bitnet(Messages messages, const ChatOptions& options, Prompt* out) {
  out->own(options.bos);
  for (const ChatMessage& m : messages) {
    out->own(is_role(m, "system") ? "System: " : is_role(m, "user") ? "User: " : "Assistant: ");
    out->content(trim(m.content));
    out->own("<|eot_id|>");
  }
  out->own("Assistant: ");
}

}  // namespace

Result<std::vector<ChatPart>> render_chat(ChatFamily family, Messages messages,
                                          const ChatOptions& options) {
  TRIT_RETURN_IF_ERROR(check_roles(messages));
  if (family == ChatFamily::kChatMl || family == ChatFamily::kLlama2 ||
      family == ChatFamily::kMistral) {
    TRIT_RETURN_IF_ERROR(check_alternating(messages));
  }
  Prompt out;
  switch (family) {
    case ChatFamily::kPlain:
      plain(messages, options, &out);
      break;
    case ChatFamily::kChatMl:
      chatml(messages, options, &out);
      break;
    case ChatFamily::kQwen25:
      qwen25(messages, &out);
      break;
    case ChatFamily::kQwen3:
      qwen3(messages, options, &out);
      break;
    case ChatFamily::kLlama3:
      llama3(messages, options, &out);
      break;
    case ChatFamily::kLlama31:
      llama31(messages, options, &out);
      break;
    case ChatFamily::kLlama2:
      llama2(messages, options, &out);
      break;
    case ChatFamily::kMistral:
      mistral(messages, options, &out);
      break;
    case ChatFamily::kBitNet:
      bitnet(messages, options, &out);
      break;
  }
  return out.take();
}

}  // namespace trit
