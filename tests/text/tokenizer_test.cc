// Tokenizers small enough to follow by hand: merging, fallbacks, prefixes, added tokens, parts of
// text, streams. What real tokenizers give is in vectors_test.cc.
#include "runtime/text/tokenizer.h"

#include <doctest/doctest.h>

#include "model_format/utf8.h"
#include "tests/text/tokenizers.h"

namespace trit {
namespace {

using Ids = std::vector<int32_t>;

// Added tokens of the small byte-level tokenizer below.
constexpr int kEnd = 300, kEndOfText = 301, kThink = 302, kWide = 303;

SmallTokenizer small_tokenizer() {
  SmallTokenizer t;
  t.merges = {"b c", "a b", "a a", "aa aa", "Ġ a"};  // ids 256..260
  t.added = R"({"id":300,"content":"<end>","special":true},
               {"id":301,"content":"<end>text","special":true},
               {"id":302,"content":"<think>","special":false},
               {"id":303,"content":"<wide>","special":true,"lstrip":true,"rstrip":true})";
  return t;
}

Ids special_ids(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  tokenizer.encode(text, false, true, &ids);
  return ids;
}

TEST_CASE("Merging takes the lowest rank first and the leftmost of equal ones") {
  const LoadedTokenizer t = load_tokenizer(small_tokenizer().json());
  CHECK(plain_ids(t.tokenizer, "abc") == Ids{'a', 256});  // "b c" outranks "a b"
  CHECK(plain_ids(t.tokenizer, "ab") == Ids{257});
  CHECK(plain_ids(t.tokenizer, "aaa") == Ids{258, 'a'});
  CHECK(plain_ids(t.tokenizer, "aaaaa") == Ids{259, 'a'});
  CHECK(plain_ids(t.tokenizer, "x abc") == Ids{'x', 260, 256});
  CHECK(plain_ids(t.tokenizer, "").empty());
  CHECK(t.tokenizer.kind_name() == std::string("byte-level BPE (gpt2 splitter)"));
}

TEST_CASE("A pair listed twice keeps its last rank") {
  SmallTokenizer t = small_tokenizer();
  std::string json = t.json();
  // "b c" again, behind "a b": now "a b" comes first.
  json.replace(json.find("\"Ġ a\"]"), 7, "\"Ġ a\",\"b c\"]");
  CHECK(plain_ids(load_tokenizer(json).tokenizer, "abc") == Ids{257, 'c'});
}

TEST_CASE("ignore_merges makes a whole word its piece whatever the ranks say") {
  SmallTokenizer t = small_tokenizer();
  t.merges.push_back("ab c");  // 261, never reached by merging
  CHECK(plain_ids(load_tokenizer(t.json()).tokenizer, "abc") == Ids{'a', 256});
  t.model = "\"ignore_merges\":true,";
  CHECK(plain_ids(load_tokenizer(t.json()).tokenizer, "abc") == Ids{261});
}

TEST_CASE("Added tokens are found longest first, and only where they are allowed") {
  const LoadedTokenizer t = load_tokenizer(small_tokenizer().json());
  CHECK(special_ids(t.tokenizer, "<end>") == Ids{kEnd});
  CHECK(special_ids(t.tokenizer, "<end>text<end>tex") == Ids{kEndOfText, kEnd, 't', 'e', 'x'});
  CHECK(special_ids(t.tokenizer, "<<end>>") == Ids{'<', kEnd, '>'});
  CHECK(special_ids(t.tokenizer, "<en<end") == Ids{'<', 'e', 'n', '<', 'e', 'n', 'd'});
  CHECK(special_ids(t.tokenizer, "a<think>a") == Ids{'a', kThink, 'a'});
  CHECK(special_ids(t.tokenizer, "a \n<wide> \t a") == Ids{'a', kWide, 'a'});
  CHECK(plain_ids(t.tokenizer, "<end>") == Ids{'<', 'e', 'n', 'd', '>'});
  CHECK(t.tokenizer.is_special(kEnd));
  CHECK_FALSE(t.tokenizer.is_special(kThink));
  CHECK_FALSE(t.tokenizer.is_special('a'));
  CHECK_FALSE(t.tokenizer.is_special(-1));
  CHECK_FALSE(t.tokenizer.is_special(1 << 30));
}

TEST_CASE("Parts: special text only where allowed, never across a border, plain text as one run") {
  const LoadedTokenizer t = load_tokenizer(small_tokenizer().json());
  auto encode = [&](std::vector<TextPart> parts) {
    Ids ids;
    t.tokenizer.encode(parts, false, &ids);
    return ids;
  };
  CHECK(encode({{"<end>", true}, {"<end>", false}}) == Ids{kEnd, '<', 'e', 'n', 'd', '>'});
  CHECK(encode({{"<en", true}, {"d>", true}}) == Ids{'<', 'e', 'n', 'd', '>'});
  CHECK(encode({{"<end>", true}, {"text", true}}) == Ids{kEnd, 't', 'e', 'x', 't'});
  CHECK(encode({{"a", true}, {"b", false}}) == Ids{257});
  CHECK(encode({{"a", false}, {"", true}, {"a", false}}) == Ids{258});
  CHECK(encode({{"\xC3", false}, {"\xA9", true}}) == Ids{0xC3, 0xA9});  // one letter in two parts
  CHECK(encode({}).empty());
}

TEST_CASE("BOS comes first when asked for and when the tokenizer has one") {
  SmallTokenizer t = small_tokenizer();
  Ids ids;
  load_tokenizer(t.json()).tokenizer.encode("a", true, false, &ids);
  CHECK(ids == Ids{'a'});
  t.post_processor = R"({"type":"Sequence","processors":[{"type":"ByteLevel"},
      {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<end>","type_id":0}},
      {"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<end>":{"ids":[300]}}}]})";
  const LoadedTokenizer with = load_tokenizer(t.json());
  ids.clear();
  with.tokenizer.encode("", true, false, &ids);
  with.tokenizer.encode("a", false, false, &ids);
  CHECK(ids == Ids{kEnd, 'a'});
  CHECK(with.tokenizer.bos() == kEnd);
}

TEST_CASE("Ids without a piece and ids out of range decode to nothing") {
  const LoadedTokenizer t = load_tokenizer(small_tokenizer().json());
  CHECK(t.tokenizer.size() == 304);
  CHECK(t.tokenizer.piece(299) == "");
  CHECK(t.tokenizer.piece(256) == "bc");
  const Ids ids{'a', 299, -1, 304, 1 << 30, 'b'};
  CHECK(t.tokenizer.decode(ids, true) == "ab");
}

TEST_CASE("Special tokens are left out of decoded text unless asked for") {
  const LoadedTokenizer t = load_tokenizer(small_tokenizer().json());
  const Ids ids{kEnd, 'a', kThink, kEndOfText};
  CHECK(t.tokenizer.decode(ids, false) == "a<think>");
  CHECK(t.tokenizer.decode(ids, true) == "<end>a<think><end>text");
}

TEST_CASE("A byte-level tokenizer may put a space in front") {
  SmallTokenizer t = small_tokenizer();
  t.pre_tokenizer = R"({"type":"ByteLevel","add_prefix_space":true})";
  const LoadedTokenizer with = load_tokenizer(t.json());
  CHECK(plain_ids(with.tokenizer, "a") == Ids{260});
  CHECK(plain_ids(with.tokenizer, " a") == Ids{260});
  CHECK(plain_ids(with.tokenizer, "").empty());
}

SmallSentencePiece sentencepiece() {
  SmallSentencePiece t;
  t.pieces = {"_", "a", "b", "_a", "ab", "__", "é"};
  t.merges = {"_ a", "a b", "_ _"};
  return t;
}
constexpr int kSpace = SmallSentencePiece::kFirstPiece, kA = kSpace + 1, kB = kSpace + 2,
              kSpaceA = kSpace + 3, kAb = kSpace + 4, kSpaces = kSpace + 5, kE = kSpace + 6;
constexpr int kByte = 3;  // token of byte 0

TEST_CASE("SentencePiece: a space in front, characters, then bytes") {
  const LoadedTokenizer t = load_tokenizer(sentencepiece().json());
  CHECK(t.tokenizer.kind_name() == std::string("SentencePiece BPE"));
  CHECK(plain_ids(t.tokenizer, "a") == Ids{kSpaceA});
  CHECK(plain_ids(t.tokenizer, "ab") == Ids{kSpaceA, kB});
  CHECK(plain_ids(t.tokenizer, "bab") == Ids{kSpace, kB, kAb});
  CHECK(plain_ids(t.tokenizer, " b") == Ids{kSpaces, kB});
  CHECK(plain_ids(t.tokenizer,
                  "b\xE2\x96\x81"
                  "b") == Ids{kSpace, kB, kSpace, kB});
  CHECK(plain_ids(t.tokenizer, "é") == Ids{kSpace, kE});
  CHECK(plain_ids(t.tokenizer, "ü") == Ids{kSpace, kByte + 0xC3, kByte + 0xBC});
  CHECK(plain_ids(t.tokenizer, "").empty());
  CHECK(special_ids(t.tokenizer, "a<s>a</s>") == Ids{kSpaceA, 1, kSpaceA, 2});
  Ids ids;
  t.tokenizer.encode("a", true, false, &ids);
  CHECK(ids == Ids{1, kSpaceA});
  CHECK(t.tokenizer.decode(ids, false) == "a");
  CHECK(t.tokenizer.decode(ids, true) == "<s> a");
  CHECK(t.tokenizer.decode(Ids{kSpaces, kB}, false) == " b");
}

TEST_CASE("SentencePiece: pieces that go on behind a space are merged across it") {
  SmallSentencePiece t = sentencepiece();
  t.pieces.push_back("b_a");
  t.merges.push_back("b _a");
  const LoadedTokenizer across = load_tokenizer(t.json());
  CHECK(plain_ids(across.tokenizer, "ab a") == Ids{kSpaceA, kE + 1});
  CHECK(plain_ids(load_tokenizer(sentencepiece().json()).tokenizer, "ab a") ==
        Ids{kSpaceA, kB, kSpaceA});
}

TEST_CASE("SentencePiece without bytes: unknown characters become one unknown token") {
  SmallSentencePiece t = sentencepiece();
  t.byte_fallback = false;
  const LoadedTokenizer loaded = load_tokenizer(t.json());
  CHECK(plain_ids(loaded.tokenizer, "büüb") == Ids{3, 5, 0, 5});
  std::string json = t.json();
  json.replace(json.find("\"fuse_unk\":true"), 15, "\"fuse_unk\":false");
  CHECK(plain_ids(load_tokenizer(json).tokenizer, "büüb") == Ids{3, 5, 0, 0, 5});
}

TEST_CASE("Metaspace: the prefix at every run or at the first only, and words at spaces") {
  SmallSentencePiece t = sentencepiece();
  t.normalizer = "null";
  auto with = [&](const char* options) {
    t.pre_tokenizer = R"({"type":"Metaspace","replacement":"▁",)" + std::string(options) + "}";
    return load_tokenizer(t.json());
  };
  const LoadedTokenizer always = with(R"("prepend_scheme":"always","split":false)");
  CHECK(special_ids(always.tokenizer, "a<s>a") == Ids{kSpaceA, 1, kSpaceA});
  CHECK(plain_ids(always.tokenizer, " a") == Ids{kSpaceA});
  CHECK(plain_ids(always.tokenizer, "b  a") == Ids{kSpace, kB, kSpace, kSpaceA});
  const LoadedTokenizer first = with(R"("prepend_scheme":"first","split":false)");
  CHECK(special_ids(first.tokenizer, "a<s>a") == Ids{kSpaceA, 1, kA});
  CHECK(special_ids(first.tokenizer, "<s>a") == Ids{1, kA});
  const LoadedTokenizer never = with(R"("prepend_scheme":"never","split":false)");
  CHECK(plain_ids(never.tokenizer, "a") == Ids{kA});
  CHECK(plain_ids(never.tokenizer, "b  b") == Ids{kB, kSpaces, kB});
  const LoadedTokenizer split = with(R"("prepend_scheme":"never","split":true)");
  CHECK(plain_ids(split.tokenizer, "b  b") == Ids{kB, kSpace, kSpace, kB});
  const LoadedTokenizer old = with(R"("add_prefix_space":true)");
  CHECK(plain_ids(old.tokenizer, "b  b") == Ids{kSpace, kB, kSpace, kSpace, kB});
}

TEST_CASE("NFC is applied to plain text where the tokenizer asks for it") {
  SmallTokenizer t = small_tokenizer();
  CHECK(plain_ids(load_tokenizer(t.json()).tokenizer, "e\u0301") == Ids{'e', 0xCC, 0x81});
  t.normalizer = R"({"type":"NFC"})";
  CHECK(plain_ids(load_tokenizer(t.json()).tokenizer, "e\u0301") == Ids{0xC3, 0xA9});
}

TEST_CASE("Invalid UTF-8 becomes U+FFFD in both directions") {
  const LoadedTokenizer t = load_tokenizer(small_tokenizer().json());
  CHECK(plain_ids(t.tokenizer,
                  "a\xFF"
                  "b") == Ids{'a', 0xEF, 0xBF, 0xBD, 'b'});
  CHECK(t.tokenizer.decode(Ids{'a', 0xFF, 'b', 0xE2, 0x82}, false) == "a\uFFFDb\uFFFD");
}

TEST_CASE("decode gives any valid text back") {
  const LoadedTokenizer bytes = load_tokenizer(small_tokenizer().json());
  const LoadedTokenizer pieces = load_tokenizer(sentencepiece().json());
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const std::string text = random_text(seed, 200);
    CHECK(bytes.tokenizer.decode(plain_ids(bytes.tokenizer, text), false) == text);
    CHECK(pieces.tokenizer.decode(plain_ids(pieces.tokenizer, text), false) == text);
  }
}

TEST_CASE("A stream hands out whole characters only and ends up with what decode gives") {
  const LoadedTokenizer bytes = load_tokenizer(small_tokenizer().json());
  const LoadedTokenizer pieces = load_tokenizer(sentencepiece().json());
  for (const LoadedTokenizer* t : {&bytes, &pieces}) {
    for (uint64_t seed = 0; seed < 300; ++seed) {
      Random random{seed};
      // Bytes of real characters, with some noise, so that many characters come in pieces.
      Ids ids = plain_ids(t->tokenizer, random_text(seed, 10));
      for (int32_t& id : ids) {
        if (random.next(8) == 0) id = static_cast<int32_t>(random.next(t->tokenizer.size()));
      }
      for (const bool special : {false, true}) {
        StreamDecoder decoder(&t->tokenizer, special, true);
        std::string all;
        for (const int32_t id : ids) {
          std::string now;
          decoder.next(id, &now);
          CHECK(is_utf8(now));
          all += now;
        }
        decoder.finish(&all);
        CHECK(all == t->tokenizer.decode(ids, special));
      }
    }
  }
}

TEST_CASE("A stream in the middle of a text keeps its leading space") {
  const LoadedTokenizer t = load_tokenizer(sentencepiece().json());
  for (const bool at_start : {true, false}) {
    StreamDecoder decoder(&t.tokenizer, false, at_start);
    std::string out;
    decoder.next(1, &out);  // a special token does not end the start
    decoder.next(kSpaceA, &out);
    decoder.next(kSpaceA, &out);
    CHECK(out == (at_start ? "a a" : " a a"));
  }
}

TEST_CASE("A megabyte of one letter, of spaces, of emoji: one word each, not quadratic") {
  // Anything quadratic would need hours here.
  const LoadedTokenizer bytes = load_tokenizer(small_tokenizer().json());
  const LoadedTokenizer pieces = load_tokenizer(sentencepiece().json());
  for (const char* unit : {"a", " ", "\U0001F600", "\u0301\u0323", "<"}) {
    std::string text;
    while (text.size() < (1u << 20)) text += unit;
    for (const LoadedTokenizer* t : {&bytes, &pieces}) {
      const Ids ids = special_ids(t->tokenizer, text);
      CHECK(ids.size() >= text.size() / 4);
      CHECK((t->tokenizer.decode(ids, false) == text));
    }
  }
}

}  // namespace
}  // namespace trit
