// How a tokenizer.json leads text to symbols and back, apart from its vocabulary: pre_tokenizer,
// normalizer, decoder and post_processor. Every step is either understood or refused by name.
// Not here: vocabulary, merges, added tokens (hf_tokenizer.cc).
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_HF_PIPELINE_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_HF_PIPELINE_H_

#include <string_view>

#include "model_format/json.h"
#include "model_format/status.h"
#include "model_format/tokenizer_section.h"

namespace trit {

struct TokenizerPipeline {
  // Of this: kind, splitter, prefix, bos and the options about text.
  TokenizerHeader header;
  bool decodes_bytes = false;  // "<0x0A>" is decoded as that byte
};

// `root`: of tokenizer.json. kMalformed, kUnsupported.
Result<TokenizerPipeline> read_pipeline(JsonValue root, std::string_view file);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_HF_PIPELINE_H_
