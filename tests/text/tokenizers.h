// Tokenizers for the tests of this room: the real ones of the shared data, loaded once, and small
// ones written as tokenizer.json text so that the tests need no data.
#ifndef TRITSTACK_TESTS_TEXT_TOKENIZERS_H_
#define TRITSTACK_TESTS_TEXT_TOKENIZERS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/status.h"
#include "runtime/text/tokenizer.h"

namespace trit {

struct LoadedTokenizer {
  std::vector<uint8_t> section;
  Tokenizer tokenizer;  // looks into `section`
};

// Converts and opens; fails the test case when that fails.
LoadedTokenizer load_tokenizer(const std::string& json);

// "qwen3", "llama3.2", "llama2", "stories260K" or "stories-qwen3"; shared_data() must be there.
const LoadedTokenizer& shared_tokenizer(const std::string& name);
std::string shared_tokenizer_path(const std::string& name);

// A byte-level tokenizer: ids 0..255 are the bytes in order; then one id per merge ("a b", in the
// printable alphabet); then the added tokens. The other members of tokenizer.json are JSON text.
struct SmallTokenizer {
  std::vector<std::string> merges;
  std::string pre_tokenizer = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true})";
  std::string normalizer = "null";
  std::string model = "";  // more members of "model", each ending in a comma
  std::string added = "";  // elements of added_tokens
  std::string post_processor = "null";
  std::string json() const;
};

// A SentencePiece-like one: <unk> <s> </s>, 256 byte tokens (when asked for), then `pieces`.
struct SmallSentencePiece {
  std::vector<std::string> pieces;  // "_" stands for U+2581
  std::vector<std::string> merges;
  bool byte_fallback = true;
  std::string normalizer = R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},)"
                           R"({"type":"Replace","pattern":{"String":" "},"content":"▁"}]})";
  std::string pre_tokenizer = "null";
  std::string json() const;
  static constexpr int kFirstPiece = 259;  // with byte fallback; without it 3
};

// Encodes, special tokens not recognised, no BOS.
std::vector<int32_t> plain_ids(const Tokenizer& tokenizer, std::string_view text);

// Random valid Unicode: short runs of one script, spaces, digits, marks, emoji, newlines.
std::string random_text(uint64_t seed, size_t characters);

// A small generator that is the same everywhere.
struct Random {
  uint64_t state;
  uint32_t next(uint32_t bound);
};

}  // namespace trit

#endif  // TRITSTACK_TESTS_TEXT_TOKENIZERS_H_
