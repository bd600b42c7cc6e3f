// The tokenizer section as hostile bytes: every cut, every flipped byte, and the fields by name.
// Whatever opens must also encode and decode without leaving the section (run under sanitizers).
#include "model_format/tokenizer_section.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>

#include "tests/support/temp_dir.h"
#include "tests/text/tokenizers.h"

namespace trit {
namespace {

std::vector<uint8_t> small_section(bool byte_level) {
  if (!byte_level) {
    SmallSentencePiece t;
    t.pieces = {"_", "a", "b", "_a", "ab"};
    t.merges = {"_ a", "a b"};
    t.byte_fallback = false;
    return load_tokenizer(t.json()).section;
  }
  SmallTokenizer t;
  t.merges = {"b c", "a b", "a a"};
  t.normalizer = R"({"type":"NFC"})";
  t.added = R"({"id":259,"content":"<end>","special":true},{"id":260,"content":"<x>"})";
  return load_tokenizer(t.json()).section;
}

// Uses every table of the section; says nothing about the result.
void exercise(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  tokenizer.encode("<end> aab abc <x>bc\xC3\xA9 <end", true, true, &ids);
  for (const int32_t id : ids) REQUIRE(static_cast<uint32_t>(id) < tokenizer.size());
  for (uint32_t id = 0; id < tokenizer.size(); ++id) ids.push_back(static_cast<int32_t>(id));
  for (const bool special : {false, true}) tokenizer.decode(ids, special);
}

TEST_CASE("Every cut of a section is malformed") {
  for (const bool byte_level : {true, false}) {
    const std::vector<uint8_t> section = small_section(byte_level);
    for (size_t bytes = 0; bytes < section.size(); ++bytes) {
      const std::vector<uint8_t> cut(section.begin(), section.begin() + static_cast<int>(bytes));
      const auto opened = Tokenizer::open(cut, 1000, "cut.trit");
      REQUIRE_FALSE(opened.ok());
      REQUIRE(opened.status().code() == Code::kMalformed);
    }
    std::vector<uint8_t> longer = section;
    longer.push_back(0);
    CHECK_FALSE(Tokenizer::open(longer, 1000, "long.trit").ok());
  }
}

TEST_CASE("Every flipped byte is malformed or harmless") {
  for (const bool byte_level : {true, false}) {
    const std::vector<uint8_t> section = small_section(byte_level);
    size_t refused = 0;
    for (size_t at = 0; at < section.size(); ++at) {
      for (const uint8_t flip : {0x01, 0x80, 0xFF}) {
        std::vector<uint8_t> damaged = section;
        damaged[at] ^= flip;
        const auto opened = Tokenizer::open(damaged, 1000, "flip.trit");
        if (opened.ok()) {
          exercise(opened.value());
        } else {
          ++refused;
          REQUIRE(opened.status().code() == Code::kMalformed);
        }
      }
    }
    CHECK(refused > section.size());
  }
}

TEST_CASE("What is wrong with a section is named") {
  const std::vector<uint8_t> good = small_section(true);
  TokenizerHeader h;
  std::memcpy(&h, good.data(), sizeof h);
  const size_t offsets = sizeof h, merge_index = offsets + 4 * (h.n_ids + 1);
  const size_t merges = merge_index + 4 * (h.n_ids + 1), lookups = merges + 12 * h.n_merges;
  const size_t added = lookups + 4 * h.n_lookups, bytes = added + 4 * h.n_added;
  const size_t flags = bytes + 4 * 256;
  const struct {
    size_t word_at;
    uint32_t value;
    const char* named;
  } cases[] = {
      {0, 2, "tokenizer kind at header"},
      {4, 7, "tokenizer splitter"},
      {8, 4, "tokenizer prefix"},
      {12, 16, "tokenizer options"},
      {16, h.n_ids, "tokenizer bos"},
      {20, h.n_ids, "tokenizer unknown"},
      {24, 0xFFFFFFFF, "tokenizer ids"},
      {28, 0xFFFFFFFF, "tokenizer section at size"},
      {32, 0xFFFFFFFF, "tokenizer lookups"},
      {36, h.n_ids + 1, "tokenizer added"},
      {40, 0xFFFFFFFF, "tokenizer section at size"},
      {60, 1, "tokenizer reserved"},
      {offsets, 1, "tokenizer piece_offsets at ends"},
      {offsets + 4 * 10, 0xFFFFFFFF, "tokenizer piece_offsets at entry 10"},
      {merge_index + 4 * 97, 9, "tokenizer merge_index"},
      {merges, h.n_ids, "tokenizer merges at entry 0"},
      {merges + 8, h.n_ids, "tokenizer merges at entry 0"},
      {lookups + 4, h.n_ids, "tokenizer lookups at entry 1"},
      {lookups + 4, 0, "tokenizer lookups at entry 1"},
      {added, '!', "tokenizer added at entry 0"},
      {added, h.n_ids, "tokenizer added at entry 0"},
      {bytes, h.n_ids, "tokenizer byte_ids at entry 0"},
      {bytes + 4 * 'a', kNoId, "tokenizer byte_ids at entry 97"},
      {flags + 4, 0x10, "tokenizer flags at entry 4"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.named);
    std::vector<uint8_t> bad = good;
    std::memcpy(bad.data() + c.word_at, &c.value, 4);
    const auto opened = Tokenizer::open(bad, 1000, "bad.trit");
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.status().code() == Code::kMalformed);
    CHECK_MESSAGE(opened.status().message().find(c.named) != std::string::npos,
                  opened.status().message());
  }
}

TEST_CASE("FORMAT.md's table of the header is true") {
  const std::string page = read_file("model_format/FORMAT.md");
  const struct {
    size_t offset;
    const char* field;
  } fields[] = {{offsetof(TokenizerHeader, kind), "kind"},
                {offsetof(TokenizerHeader, splitter), "splitter"},
                {offsetof(TokenizerHeader, prefix), "prefix"},
                {offsetof(TokenizerHeader, options), "options"},
                {offsetof(TokenizerHeader, bos), "bos"},
                {offsetof(TokenizerHeader, unknown), "unknown"},
                {offsetof(TokenizerHeader, n_ids), "ids"},
                {offsetof(TokenizerHeader, n_merges), "merges"},
                {offsetof(TokenizerHeader, n_lookups), "lookups"},
                {offsetof(TokenizerHeader, n_added), "added"},
                {offsetof(TokenizerHeader, piece_bytes), "piece_bytes"}};
  const size_t chapter = page.find("## The tokenizer section");
  REQUIRE(chapter != page.npos);
  for (const auto& f : fields) {
    const std::string row = "| " + std::to_string(f.offset) + " | u32 | " + f.field + " |";
    CHECK_MESSAGE(page.find(row, chapter) != page.npos, row);
  }
}

TEST_CASE("A section with more ids than the embedding has rows is malformed") {
  const std::vector<uint8_t> section = small_section(true);
  CHECK(Tokenizer::open(section, 261, "a.trit").ok());
  const auto opened = Tokenizer::open(section, 260, "a.trit");
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.status().code() == Code::kMalformed);
  CHECK(opened.status().message() ==
        "a.trit: tokenizer ids at header: expected at most 260, found 261");
}

TEST_CASE("Tables answer as built: merges, pieces, added tokens") {
  const std::vector<uint8_t> bytes = small_section(true);
  const auto section = TokenizerSection::open(bytes, kNoId, "a.trit");
  REQUIRE(section.ok());
  REQUIRE(section->find_merge('a', 'b') != nullptr);
  CHECK(section->find_merge('a', 'b')->result == 257);
  CHECK(section->find_merge('a', 'b')->rank == 1);
  CHECK(section->find_merge('a', 'c') == nullptr);
  CHECK(section->find_merge(260, 260) == nullptr);
  CHECK(section->find_piece("ab") == 257);
  CHECK(section->find_piece("<end>") == kNoId);
  CHECK(section->find_piece("") == kNoId);
  CHECK(section->find_added("<end>") == 259);
  CHECK(section->match_added("<end>ing") == 259);
  CHECK(section->match_added("<end") == kNoId);
  CHECK(section->match_added("") == kNoId);
  CHECK(section->match_added("<x>") == 260);
}

}  // namespace
}  // namespace trit
