// tokenizer.json files that are wrong or unknown: the code and the place each is refused with, and
// the odd ones that must be accepted.
#include <doctest/doctest.h>

#include "model_format/convert/hf_tokenizer.h"
#include "tests/text/tokenizers.h"

namespace trit {
namespace {

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE_MESSAGE(at != text.npos, from);
  return text.replace(at, from.size(), to);
}

SmallTokenizer byte_level() {
  SmallTokenizer t;
  t.merges = {"a b", "c d"};
  t.added = R"({"id":258,"content":"<end>","special":true})";
  return t;
}

SmallSentencePiece sentencepiece() {
  SmallSentencePiece t;
  t.pieces = {"_", "a"};
  return t;
}

void check_refused(const std::string& json, Code code, const std::string& named,
                   uint32_t vocab = 0) {
  CAPTURE(named);
  const auto section = convert_tokenizer(json, "tokenizer.json", vocab);
  REQUIRE_FALSE(section.ok());
  CHECK(section.status().code() == code);
  CHECK_MESSAGE(section.status().message().find(named) != std::string::npos,
                section.status().message());
  CHECK(section.status().message().find('\n') == std::string::npos);
}

TEST_CASE("Text that is no tokenizer is refused") {
  for (const char* json : {"", "{", "[]", "null", "{}", "{\"model\":3}", "{\"model\":{}}"}) {
    CAPTURE(json);
    CHECK_FALSE(convert_tokenizer(json, "tokenizer.json", 0).ok());
  }
}

TEST_CASE("Hostile vocabularies and merges are malformed, by place") {
  const std::string good = byte_level().json();
  const struct {
    const char *from, *to, *named;
  } cases[] = {
      {"\"ab\":256", "\"ab\":-1", "$.model.vocab"},
      {"\"ab\":256", "\"ab\":1.5", "$.model.vocab"},
      {"\"ab\":256", "\"ab\":\"256\"", "$.model.vocab"},
      {"\"ab\":256", "\"ab\":2147483648", "$.model.vocab"},
      {"\"ab\":256", "\"ab\":18446744073709551616", "$.model.vocab"},
      {"\"ab\":256", "\"ab\":4194304", "$.model.vocab"},
      {"\"ab\":256", "\"ab\":97", "each id once"},
      {"\"ab\":256", "\"ab\":null", "$.model.vocab"},
      {"\"a b\"", "\"a x\"", "$.model.merges[0]"},
      {"\"a b\"", "\"ab\"", "$.model.merges[0]"},
      {"\"c d\"", "\"c  d\"", "$.model.merges[1]"},
      {"\"c d\"", "\"c d e\"", "$.model.merges[1]"},
      {"\"c d\"", "\" d\"", "$.model.merges[1]"},
      {"\"c d\"", "7", "$.model.merges[1]"},
      {"\"c d\"", "[\"c\"]", "$.model.merges[1]"},
      {"\"c d\"", "[\"c\",\"d\",\"e\"]", "$.model.merges[1]"},
      {"\"c d\"", "[\"c\",3]", "$.model.merges[1]"},
      {"\"c d\"", "[\"c\",\"\"]", "$.model.merges[1]"},
      {"\"merges\":[", "\"merged\":[", "$.model.merges"},
      {"\"vocab\":{", "\"vocabulary\":{", "$.model.vocab"},
      {"\"type\":\"BPE\"", "\"unk_token\":\"<none>\"", "$.model.unk_token"},
      {"\"type\":\"BPE\"", "\"ignore_merges\":1", "$.model.ignore_merges"},
      {"\"id\":258", "\"id\":-1", "$.added_tokens[0].id"},
      {"\"id\":258", "\"id\":4194304", "$.added_tokens[0].id"},
      {"\"id\":258", "\"id\":97", "$.added_tokens[0].id"},
      {"\"<end>\"", "\"\"", "$.added_tokens[0].content"},
      {"\"<end>\"", "7", "$.added_tokens[0].content"},
      {"\"added_tokens\":[", "\"added_tokens\":{},\"x\":[", "$.added_tokens"},
      {"\"a\":97", "\"xyz\":97", "$.model.merges[0]"},
      {"\"A\":65", "\"xyz\":65", "byte_ids at entry 65"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.to);
    check_refused(replaced(good, c.from, c.to), Code::kMalformed, c.named);
  }
  check_refused(good, Code::kMalformed, "$.added_tokens[0].id", 258);
  check_refused(good, Code::kMalformed, "$.model.vocab", 257);
  CHECK(convert_tokenizer(good, "tokenizer.json", 259).ok());
}

TEST_CASE("Byte tokens of SentencePiece are two upper-case digits and nothing else") {
  const std::string good = sentencepiece().json();
  for (const char* bad : {"<0x-1>", "<0xZZ>", "<0x0a>", "<0x 1>", "<0x+1>"}) {
    check_refused(replaced(good, "<0x0A>", bad), Code::kMalformed, "$.model.vocab");
  }
  CHECK(convert_tokenizer(good, "tokenizer.json", 0).ok());
}

TEST_CASE("Byte-level tokenizers with steps we do not know are refused by name") {
  const std::string good = byte_level().json();
  const std::string step = byte_level().pre_tokenizer;
  auto sequence = [](const std::string& steps) {
    return R"({"type":"Sequence","pretokenizers":[)" + steps + "]}";
  };
  const std::string level = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})";
  const struct {
    std::string pre_tokenizer;
    const char* named;
  } cases[] = {
      {R"({"type":"BertPreTokenizer"})", "found \"BertPreTokenizer\""},
      {R"({"type":"Whitespace"})", "$.pre_tokenizer"},
      {sequence(R"({"type":"Punctuation"},)" + level), "found \"Punctuation\""},
      {sequence(R"({"type":"Digits","individual_digits":false},)" + step), "found \"Digits\""},
      {sequence(R"({"type":"Digits","individual_digits":true},)" + level), "found \"Digits\""},
      {sequence(level + "," + level + "," + level), "$.pre_tokenizer"},
      {sequence(R"({"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated"},)" + level),
       "$.pre_tokenizer.pretokenizers[0].pattern.Regex"},
      {sequence(R"({"type":"Split","pattern":{"Regex":"x"},"behavior":"Removed"},)" + level),
       "behavior"},
      {sequence(R"({"type":"Split","pattern":{"Regex":"x"},"behavior":"Isolated"},)"
                R"({"type":"ByteLevel","add_prefix_space":true,"use_regex":false})"),
       "add_prefix_space"},
  };
  for (const auto& c : cases) {
    check_refused(replaced(good, step, c.pre_tokenizer), Code::kUnsupported, c.named);
  }
}

TEST_CASE("Other members we do not know are refused by name") {
  const std::string good = byte_level().json();
  const struct {
    const char *from, *to, *named;
  } cases[] = {
      {"\"normalizer\":null", R"("normalizer":{"type":"NFKC"})", "found \"NFKC\""},
      {"\"normalizer\":null",
       R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"}]})",
       "$.normalizer.normalizers[1]"},
      {"\"type\":\"BPE\"", "\"type\":\"Unigram\"", "found \"Unigram\""},
      {"\"type\":\"BPE\"", "\"dropout\":0.1", "$.model.dropout"},
      {"\"type\":\"BPE\"", "\"end_of_word_suffix\":\"</w>\"", "end_of_word_suffix"},
      {"\"type\":\"BPE\"", "\"continuing_subword_prefix\":\"##\"", "continuing_subword_prefix"},
      {R"({"type":"ByteLevel"})", R"({"type":"WordPiece"})", "found \"WordPiece\""},
      {R"({"type":"ByteLevel"})", "null", "$.decoder"},
      {"\"special\":true", "\"single_word\":true", "$.added_tokens[0].single_word"},
      {"\"post_processor\":null", R"("post_processor":{"type":"BertProcessing"})",
       "found \"BertProcessing\""},
      {"\"post_processor\":null",
       R"("post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}},
          {"SpecialToken":{"id":"<end>"}}],"special_tokens":{"<end>":{"ids":[258]}}})",
       "$.post_processor.single"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.to);
    check_refused(replaced(good, c.from, c.to), Code::kUnsupported, c.named);
  }
  SmallSentencePiece t = sentencepiece();
  t.normalizer = "null";
  check_refused(t.json(), Code::kUnsupported, "$.pre_tokenizer");
  t.pre_tokenizer = R"({"type":"Metaspace","replacement":"_"})";
  check_refused(t.json(), Code::kUnsupported, "$.pre_tokenizer.replacement");
  t.pre_tokenizer = R"({"type":"Metaspace","prepend_scheme":"last"})";
  check_refused(t.json(), Code::kUnsupported, "$.pre_tokenizer.prepend_scheme");
}

TEST_CASE("A BOS token that does not exist is malformed") {
  SmallTokenizer t = byte_level();
  for (const char* ids : {"[259]", "[]", "[1,2]", "[-1]", "7"}) {
    t.post_processor = R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},
        {"Sequence":{"id":"A"}}],"special_tokens":{"x":{"ids":)" +
                       std::string(ids) + "}}}";
    check_refused(t.json(), Code::kMalformed, "$.post_processor");
  }
}

TEST_CASE("Merges may be strings or pairs, and old files may leave things out") {
  const std::string good = byte_level().json();
  for (const std::string& json :
       {good, replaced(good, "\"c d\"", "[\"c\",\"d\"]"), replaced(good, "\"type\":\"BPE\",", ""),
        replaced(good, "\"normalizer\":null,", ""),
        replaced(good, "\"type\":\"BPE\"", "\"dropout\":null,\"unk_token\":null"),
        replaced(good, "\"type\":\"BPE\"", "\"end_of_word_suffix\":\"\"")}) {
    const LoadedTokenizer t = load_tokenizer(json);
    CHECK(plain_ids(t.tokenizer, "cdab") == std::vector<int32_t>{257, 256});
  }
}

TEST_CASE("Known splitter patterns are recognised by their exact text") {
  const char* const kTail = R"(| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)";
  const char* const kHead = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N})";
  const std::string gpt2 =
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+)";
  auto split = [](const std::string& pattern) {
    return R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":")" + pattern +
           R"("},"behavior":"Isolated","invert":false},)"
           R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";
  };
  const struct {
    std::string pre_tokenizer;
    const char* kind;
  } cases[] = {
      {split(kHead + std::string("{1,3}") + kTail), "byte-level BPE (llama3 splitter)"},
      {split(std::string(kHead) + kTail), "byte-level BPE (qwen2 splitter)"},
      {split(gpt2), "byte-level BPE (gpt2 splitter)"},
      {R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})", "byte-level BPE"},
      {R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
       R"({"type":"ByteLevel","add_prefix_space":false}]})",
       "byte-level BPE (gpt2 splitter, digits alone)"},
  };
  for (const auto& c : cases) {
    SmallTokenizer t = byte_level();
    t.pre_tokenizer = c.pre_tokenizer;
    CHECK(load_tokenizer(t.json()).tokenizer.kind_name() == std::string(c.kind));
  }
}

TEST_CASE("Of equal pieces the lowest id encodes and every id decodes") {
  SmallTokenizer t = byte_level();
  t.added = R"({"id":259,"content":"<end>","special":true},{"id":258,"content":"<end>"},
               {"id":256,"content":"ab"})";
  const LoadedTokenizer loaded = load_tokenizer(t.json());
  std::vector<int32_t> ids;
  loaded.tokenizer.encode("<end>ab", false, true, &ids);
  CHECK(ids == std::vector<int32_t>{258, 256});
  CHECK(loaded.tokenizer.decode(std::vector<int32_t>{258, 259}, true) == "<end><end>");
  CHECK(find_token(loaded.section, "<end>") == 258);
  CHECK(find_token(loaded.section, "cd") == 257);

  SmallSentencePiece s = sentencepiece();
  s.pieces = {" ", "_", "a"};  // a plain space is no sign for a space: text never becomes it
  const LoadedTokenizer pieces = load_tokenizer(s.json());
  CHECK(plain_ids(pieces.tokenizer, "a") == std::vector<int32_t>{260, 261});
  CHECK(pieces.tokenizer.piece(259) == " ");
}

TEST_CASE("Pieces may hold anything: NUL, nothing, bytes outside the printable alphabet") {
  const std::string json = replaced(byte_level().json(), "\"cd\":257",
                                    "\"cd\":257,\"\":300,\"\\u0000 x\":301,\"你\":302");
  const LoadedTokenizer t = load_tokenizer(json);
  CHECK(t.tokenizer.piece(300) == "");
  CHECK(t.tokenizer.piece(301) == std::string_view("\0 x", 3));
  CHECK(t.tokenizer.piece(302) == "你");
  CHECK(plain_ids(t.tokenizer, "你") == std::vector<int32_t>{0xE4, 0xBD, 0xA0});
}

TEST_CASE("Conversion of the same text gives the same bytes") {
  CHECK(load_tokenizer(byte_level().json()).section == load_tokenizer(byte_level().json()).section);
}

TEST_CASE("find_token and section_bos of bytes that are no section find nothing") {
  CHECK(find_token({}, "a") == kNoToken);
  CHECK(section_bos({}) == kNoToken);
}

}  // namespace
}  // namespace trit
