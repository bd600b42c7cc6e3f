// From text to ids, one run of plain text at a time: repaired, normalised, cut into words, and each
// word merged from its symbols (bytes, or characters as SentencePiece has them). Not here: where
// plain text ends and added tokens begin (tokenizer.cc).
#ifndef TRITSTACK_RUNTIME_TEXT_ENCODER_H_
#define TRITSTACK_RUNTIME_TEXT_ENCODER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/tokenizer_section.h"
#include "runtime/text/bpe.h"

namespace trit {

class Encoder {
 public:
  Encoder(const TokenizerSection& section, std::vector<int32_t>* ids)
      : section_(section), merger_(section), ids_(ids) {}

  // Text that goes on where the last one ended.
  void add_plain(std::string_view text) { run_ += text; }
  // An added token: ends the run of plain text before it.
  void add_token(uint32_t id);
  void finish();

 private:
  void normalize();
  void encode_word(std::string_view word);
  void add_characters(std::string_view word);
  void add_bytes(std::string_view word);
  void add_unknown();

  const TokenizerSection& section_;
  BpeMerger merger_;
  std::vector<int32_t>* ids_;
  std::string run_;
  bool at_start_ = true;        // nothing of the input came before run_
  bool after_unknown_ = false;  // the last symbol of this word was unknown
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_TEXT_ENCODER_H_
