// See tokenizers.h.
#include "tests/text/tokenizers.h"

#include <doctest/doctest.h>

#include <map>

#include "model_format/convert/hf_tokenizer.h"
#include "model_format/json.h"
#include "runtime/text/unicode.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"

namespace trit {

LoadedTokenizer load_tokenizer(const std::string& json) {
  LoadedTokenizer loaded;
  auto section = convert_tokenizer(json, "tokenizer.json", 0);
  REQUIRE_MESSAGE(section.ok(), section.status().message());
  loaded.section = std::move(section.value());
  auto tokenizer = Tokenizer::open(loaded.section, 1u << 22, "test.trit");
  REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.status().message());
  loaded.tokenizer = tokenizer.value();
  return loaded;
}

std::string shared_tokenizer_path(const std::string& name) {
  const bool model = name.substr(0, 7) == "stories";
  return shared_data() + (model ? "/models/" + name + "-hf/tokenizer.json"
                                : "/tokenizers/" + name + ".tokenizer.json");
}

const LoadedTokenizer& shared_tokenizer(const std::string& name) {
  static std::map<std::string, LoadedTokenizer> loaded;
  auto found = loaded.find(name);
  if (found == loaded.end()) {
    const std::string json = read_file(shared_tokenizer_path(name));
    found = loaded.emplace(name, load_tokenizer(json)).first;
  }
  return found->second;
}

namespace {

// The printable character of each byte, in byte order.
std::vector<std::string> byte_alphabet() {
  std::vector<std::string> out(256);
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    append_utf8(printable ? b : next++, &out[b]);
  }
  return out;
}

std::string without_space(const std::string& merge) {
  const size_t space = merge.find(' ');
  return merge.substr(0, space) + merge.substr(space + 1);
}

void append_entry(const std::string& text, int* id, std::string* vocab) {
  if (*id > 0) *vocab += ',';
  *vocab += json_quoted(text) + ":" + std::to_string((*id)++);
}

std::string merge_list(const std::vector<std::string>& merges) {
  std::string out;
  for (const std::string& m : merges) out += (out.empty() ? "" : ",") + json_quoted(m);
  return "[" + out + "]";
}

std::string with_sign(std::string text) {
  for (size_t at; (at = text.find('_')) != text.npos;) text.replace(at, 1, "\xE2\x96\x81");
  return text;
}

}  // namespace

std::string SmallTokenizer::json() const {
  int id = 0;
  std::string vocab;
  for (const std::string& b : byte_alphabet()) append_entry(b, &id, &vocab);
  for (const std::string& m : merges) append_entry(without_space(m), &id, &vocab);
  return R"({"added_tokens":[)" + added + R"(],"normalizer":)" + normalizer +
         R"(,"pre_tokenizer":)" + pre_tokenizer + R"(,"post_processor":)" + post_processor +
         R"(,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE",)" + model + R"("vocab":{)" +
         vocab + R"(},"merges":)" + merge_list(merges) + "}}";
}

std::string SmallSentencePiece::json() const {
  int id = 0;
  std::string vocab;
  for (const char* special : {"<unk>", "<s>", "</s>"}) append_entry(special, &id, &vocab);
  for (int b = 0; b < 256 && byte_fallback; ++b) {
    constexpr const char* kDigits = "0123456789ABCDEF";
    append_entry(std::string("<0x") + kDigits[b / 16] + kDigits[b % 16] + ">", &id, &vocab);
  }
  for (const std::string& p : pieces) append_entry(with_sign(p), &id, &vocab);
  std::vector<std::string> signed_merges;
  for (const std::string& m : merges) signed_merges.push_back(with_sign(m));
  return R"({"added_tokens":[{"id":0,"content":"<unk>","special":true},)"
         R"({"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true}],)"
         R"("normalizer":)" +
         normalizer + R"(,"pre_tokenizer":)" + pre_tokenizer +
         R"(,"post_processor":{"type":"TemplateProcessing","single":[)"
         R"({"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],)"
         R"("special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}},)"
         R"("decoder":{"type":"Sequence","decoders":[)"
         R"({"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},)"
         R"({"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},)"
         R"("model":{"type":"BPE","unk_token":"<unk>","fuse_unk":true,"byte_fallback":)" +
         (byte_fallback ? "true" : "false") + R"(,"vocab":{)" + vocab + R"(},"merges":)" +
         merge_list(signed_merges) + "}}";
}

std::vector<int32_t> plain_ids(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, false, false, &ids);
  return ids;
}

uint32_t Random::next(uint32_t bound) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<uint32_t>((state >> 33) % bound);
}

std::string random_text(uint64_t seed, size_t characters) {
  constexpr struct {
    char32_t first;
    uint32_t count;
  } kScripts[] = {{0x20, 95},     {0x09, 5},     {0x41, 26},    {0xA0, 96},    {0x300, 112},
                  {0x391, 60},    {0x400, 256},  {0x5D0, 27},   {0x627, 100},  {0x905, 60},
                  {0xE01, 58},    {0x1100, 256}, {0x2000, 112}, {0x3040, 190}, {0x4E00, 20992},
                  {0xAC00, 172},  {0xE000, 16},  {0xF900, 300}, {0xFFF0, 16},  {0x1D400, 500},
                  {0x1F300, 700}, {0x10FFF0, 16}};
  Random random{seed};
  std::string out;
  while (characters > 0) {
    const auto& script = kScripts[random.next(sizeof kScripts / sizeof kScripts[0])];
    for (uint32_t run = 1 + random.next(6); run > 0 && characters > 0; --run, --characters) {
      append_utf8(script.first + random.next(script.count), &out);
    }
  }
  return out;
}

}  // namespace trit
