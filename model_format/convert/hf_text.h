// The text side of a Hugging Face folder: tokenizer.json to the tokenizer section, the chat
// template and its family, the tokens that begin a text and end an answer, and the model's own
// sampling defaults. All of it is optional in a folder; a missing tokenizer.json is a warning.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_HF_TEXT_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_HF_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model_format/convert/hf_config.h"
#include "model_format/model_config.h"
#include "model_format/status.h"

namespace trit {

struct HfText {
  GenerationDefaults generation;
  std::vector<uint8_t> tokenizer;  // section bytes; empty: the folder has no tokenizer.json
  std::string chat_template;
};

// Fills chat_family, bos, eos and end_tokens of config->model too. Warnings are appended.
Result<HfText> read_hf_text(const std::string& folder, HfConfig* config,
                            std::vector<std::string>* warnings);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_HF_TEXT_H_
