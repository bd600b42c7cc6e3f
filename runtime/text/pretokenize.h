// Cuts text into the words that merges may not cross: the regular expressions of GPT-2, Llama 3 and
// Qwen2, written out by hand (std::regex knows no \p{L} and recurses).
#ifndef TRITSTACK_RUNTIME_TEXT_PRETOKENIZE_H_
#define TRITSTACK_RUNTIME_TEXT_PRETOKENIZE_H_

#include <cstddef>
#include <string_view>

#include "model_format/tokenizer_section.h"

namespace trit {

// Where the word that begins at text[at] ends; at < text.size(), `text` is valid UTF-8.
size_t word_end(Splitter splitter, std::string_view text, size_t at);

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_TEXT_PRETOKENIZE_H_
