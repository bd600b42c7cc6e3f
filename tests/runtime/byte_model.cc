// See byte_model.h.
#include "tests/runtime/byte_model.h"

#include <doctest/doctest.h>

#include "model_format/tokenizer_section.h"

namespace trit {

TinyModel byte_model() {
  TokenizerContents contents;
  contents.header.kind = TokenizerKind::kByteLevel;
  contents.header.splitter = Splitter::kNone;
  contents.header.bos = kByteBos;
  for (uint32_t b = 0; b < 256; ++b) {
    contents.pieces.push_back(std::string(1, static_cast<char>(b)));
    contents.flags.push_back(0);
    contents.lookups.push_back(b);
    contents.byte_ids[b] = b;
  }
  for (const char* special : {"<s>", "<end>"}) {
    contents.pieces.push_back(special);
    contents.flags.push_back(kTokenSpecial | kTokenAdded);
  }
  TinyModel model;
  model.config = tiny_config();
  model.config.vocab = kByteVocab;
  model.config.bos = kByteBos;
  model.config.eos = kByteEnd;
  model.config.end_tokens = {kByteEnd};
  model.tokenizer = build_tokenizer_section(std::move(contents));
  return model;
}

void write_byte_model(const std::string& path) {
  const Status written = write_tiny_model(path, byte_model());
  REQUIRE_MESSAGE(written.ok(), written.message());
}

}  // namespace trit
