// Text to token ids and back, straight from the tokenizer section as it is mapped: opening
// validates the section and builds nothing that grows with the vocabulary. Not here: chat formats
// (chat_template.h), parsing of tokenizer.json (convert/hf_tokenizer.h).
#ifndef TRITSTACK_RUNTIME_TEXT_TOKENIZER_H_
#define TRITSTACK_RUNTIME_TEXT_TOKENIZER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/span.h"
#include "model_format/status.h"
#include "model_format/tokenizer_section.h"

namespace trit {

// A piece of a text to encode. Special tokens are recognised only where allow_special is set and
// never across the border of two parts; plain text of neighbouring parts is encoded as one.
struct TextPart {
  std::string_view text;
  bool allow_special = false;
};

class Tokenizer {
 public:
  // `section` must outlive the tokenizer. kMalformed names the field. `vocab`: rows of the model's
  // embedding; ids must be below it. `file` names the source in errors.
  static Result<Tokenizer> open(Span<const uint8_t> section, uint32_t vocab, std::string_view file);

  uint32_t size() const;          // ids [0, size) have a piece
  int32_t bos() const;            // kNoToken when the tokenizer adds none
  const char* kind_name() const;  // "byte-level BPE (qwen2 splitter)", ...

  // Appends to *ids. Invalid UTF-8 becomes U+FFFD first.
  void encode(Span<const TextPart> parts, bool add_bos, std::vector<int32_t>* ids) const;
  void encode(std::string_view text, bool add_bos, bool parse_special,
              std::vector<int32_t>* ids) const;

  bool is_special(int32_t id) const;
  // The raw bytes of one token in the middle of a text (may be part of a character).
  // Ids without a piece give nothing.
  std::string_view piece(int32_t id) const;

  // The text of ids; special tokens left out unless asked for. Bytes that are not UTF-8 become
  // U+FFFD.
  std::string decode(Span<const int32_t> ids, bool special) const;

 private:
  friend class StreamDecoder;
  TokenizerSection section_;
};

// Decodes token by token and never hands out half a character.
class StreamDecoder {
 public:
  // `at_start`: the first token begins a text (SentencePiece drops its leading space there).
  StreamDecoder(const Tokenizer* tokenizer, bool special, bool at_start);
  // Appends the whole characters that are complete now; impossible bytes become U+FFFD.
  void next(int32_t id, std::string* out);
  // What is left, as U+FFFD.
  void finish(std::string* out);

 private:
  const Tokenizer* tokenizer_;
  bool special_, at_start_;
  std::string pending_;  // an incomplete character, at most 3 bytes
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_TEXT_TOKENIZER_H_
