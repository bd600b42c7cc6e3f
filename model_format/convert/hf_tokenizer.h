// tokenizer.json to the tokenizer section of a .trit file, and the chat family of a template text.
// Anything it does not know in a tokenizer.json is an error, never a guess.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_HF_TOKENIZER_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_HF_TOKENIZER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/model_config.h"
#include "model_format/status.h"

namespace trit {

// `json`: the text of tokenizer.json, `file` its name for errors; `vocab`: rows of the embedding
// (0: do not check). kMalformed, kUnsupported.
Result<std::vector<uint8_t>> convert_tokenizer(std::string_view json, std::string_view file,
                                               uint32_t vocab);

// The id of a token given by its text ("<|im_end|>"), for end tokens named by text in
// tokenizer_config.json; kNoToken when there is none.
int32_t find_token(const std::vector<uint8_t>& tokenizer_section, std::string_view text);

// The id of the token that the tokenizer itself puts first (ModelConfig::bos), from
// tokenizer.json's post_processor; kNoToken when it puts none. What tokenizer_config.json says
// about BOS is not asked: tokenizer.json is the source of truth.
int32_t section_bos(const std::vector<uint8_t>& tokenizer_section);

// kPlain when the text is not one of the known templates.
ChatFamily detect_chat_family(std::string_view template_text);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_HF_TOKENIZER_H_
