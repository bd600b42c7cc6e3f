// Recognises the family of a chat template by what only that family's text contains; no template
// is ever run. What each family renders to: runtime/text/chat_template.cc.
#include "model_format/convert/hf_tokenizer.h"

namespace trit {

ChatFamily detect_chat_family(std::string_view template_text) {
  const auto has = [&](std::string_view part) { return template_text.find(part) != part.npos; };
  if (has("<|im_start|>")) {
    if (has("enable_thinking") && has("<think>")) return ChatFamily::kQwen3;
    // The default system prompt is what sets Qwen2.5 apart.
    if (has("You are Qwen, created by Alibaba Cloud")) return ChatFamily::kQwen25;
    return ChatFamily::kChatMl;
  }
  if (has("<|start_header_id|>")) {
    return has("Cutting Knowledge Date") ? ChatFamily::kLlama31 : ChatFamily::kLlama3;
  }
  if (has("<|eot_id|>") && has("capitalize")) return ChatFamily::kBitNet;
  if (has("[INST]")) {
    // Nemo writes no spaces inside its brackets; Llama-2 and the first Mistral models do.
    return has("<<SYS>>") || has(" [/INST]") ? ChatFamily::kLlama2 : ChatFamily::kMistral;
  }
  return ChatFamily::kPlain;
}

}  // namespace trit
