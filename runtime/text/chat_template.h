// Chat formats, compiled in: no Jinja is ever run. The converter recognises the family from the
// template's text (detect_chat_family), the file records it, this renders it.
#ifndef TRITSTACK_RUNTIME_TEXT_CHAT_TEMPLATE_H_
#define TRITSTACK_RUNTIME_TEXT_CHAT_TEMPLATE_H_

#include <string>
#include <string_view>
#include <vector>

#include "model_format/model_config.h"
#include "model_format/span.h"
#include "model_format/status.h"

namespace trit {

struct ChatMessage {
  std::string_view role;  // "system", "user", "assistant"
  std::string_view content;
};

enum class Reasoning { kAuto, kOn, kOff };

struct ChatOptions {
  Reasoning reasoning = Reasoning::kAuto;
  std::string_view date = "26 Jul 2024";
  std::string_view bos;  // the text of the BOS token, written by templates that begin with it
  std::string_view eos;  // Llama-2 and Mistral end answers with it
};

// A rendered piece: the template's own text may hold special tokens, message content may not.
struct ChatPart {
  std::string text;
  bool from_template = false;
};

// The conversation up to where the assistant's answer begins. kUsage when the roles do not fit.
Result<std::vector<ChatPart>> render_chat(ChatFamily family, Span<const ChatMessage> messages,
                                          const ChatOptions& options);

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_TEXT_CHAT_TEMPLATE_H_
