// UTF-8 repair, character classes, NFC and the splitters: small tables worked out by hand.
#include <doctest/doctest.h>

#include "runtime/text/nfc.h"
#include "runtime/text/pretokenize.h"
#include "runtime/text/unicode.h"
#include "tests/text/tokenizers.h"

namespace trit {
namespace {

std::string repaired(std::string_view text) {
  std::string out;
  append_valid_utf8(text, &out);
  return out;
}

TEST_CASE("Bytes that are not UTF-8 become one U+FFFD per maximal subpart") {
  const std::string r = "\xEF\xBF\xBD";
  const struct {
    std::string text, expected;
  } cases[] = {
      {"plain", "plain"},
      {"\x80", r},             // a lone tail
      {"\xBF\x80", r + r},     //
      {"\xC3", r},             // cut after the lead
      {"\xC3x", r + "x"},      //
      {"\xE4\xBD", r},         // cut in the middle: one subpart
      {"\xE4\xBDx", r + "x"},  //
      {"\xF0\x9F\x98", r},     //
      {"\xF0\x9F\x98\xF0\x9F\x98\x80", r + "\xF0\x9F\x98\x80"},
      {"\xC0\x80", r + r},                  // overlong forms begin no character
      {"\xC1\xBF", r + r},                  //
      {"\xE0\x80\x80", r + r + r},          //
      {"\xE0\x9F\xBF", r + r + r},          //
      {"\xF0\x80\x80\x80", r + r + r + r},  //
      {"\xF0\x8F\xBF\xBF", r + r + r + r},  //
      {"\xED\xA0\x80", r + r + r},          // surrogates
      {"\xED\xBF\xBF", r + r + r},          //
      {"\xF4\x90\x80\x80", r + r + r + r},  // past U+10FFFF
      {"\xF5\x80\x80\x80", r + r + r + r},  //
      {"\xFE\xFF", r + r},                  //
      {"\xED\x9F\xBF\xEE\x80\x80", "\xED\x9F\xBF\xEE\x80\x80"},  // beside the surrogates
      {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},                  // the last character
      {std::string("a\0b", 3), std::string("a\0b", 3)},
      {"a\xFFz\xE2\x82\xAC\xE2\x82", "a" + r + "z\xE2\x82\xAC" + r},
  };
  for (const auto& c : cases) CHECK(repaired(c.text) == c.expected);
}

TEST_CASE("Every character survives writing and reading UTF-8") {
  for (char32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 251) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(c, &text);
    const CodePoint read = decode_utf8(text, 0);
    REQUIRE(read.value == c);
    REQUIRE(read.bytes == text.size());
    for (size_t cut = 1; cut < text.size(); ++cut) {
      REQUIRE(decode_utf8(text.substr(0, cut), 0).cut_off);
    }
  }
}

TEST_CASE("Letters, numbers and white space are what Unicode says") {
  for (char32_t c :
       {U'a', U'Z', U'\u00AA', U'\u00DF', U'\u0391', U'\u05D0', U'\u4E00', U'\uAC00'}) {
    CHECK(is_letter(c));
  }
  for (char32_t c : {U'@', U'[', U'`', U'{', U'1', U'_', U'\u0301', U'\u00D7', U'\u00BD'}) {
    CHECK_FALSE(is_letter(c));
  }
  for (char32_t c : {U'0', U'9', U'\u00B2', U'\u00BD', U'\u0663', U'\u2167', U'\u3007'}) {
    CHECK(is_number(c));
  }
  for (char32_t c : {U'/', U':', U'a', U'\u4E00'}) CHECK_FALSE(is_number(c));
  for (char32_t c : {U'\t', U'\n', U'\v', U'\f', U'\r', U' ', U'\u00A0', U'\u1680', U'\u2000',
                     U'\u200A', U'\u2028', U'\u2029', U'\u202F', U'\u205F', U'\u3000'}) {
    CHECK(is_white_space(c));
  }
  CHECK(is_white_space(0x85));
  for (char32_t c : {U'\u200B', U'\u200D', U'\uFEFF', U'\u180E', U'a'})
    CHECK_FALSE(is_white_space(c));
}

TEST_CASE("NFC composes, orders marks and leaves exclusions alone") {
  const struct {
    const char *text, *expected;
  } cases[] = {
      {"plain ascii", "plain ascii"},
      {"e\u0301", "\u00E9"},
      {"\u00E9", "\u00E9"},
      {"a\u0323\u0302", "\u1EAD"},
      {"a\u0302\u0323", "\u1EAD"},  // marks in order first
      {"\u1E9B\u0323", "\u1E9B\u0323"},
      {"q\u0307\u0323", "q\u0323\u0307"},  // nothing to compose, order changes
      {"\u212B", "\u00C5"},                // singletons
      {"\u2126", "\u03A9"},
      {"\u0958", "\u0915\u093C"},  // an exclusion stays apart
      {"\u1100\u1161", "\uAC00"},  // Hangul
      {"\u1100\u1161\u11A8", "\uAC01"},
      {"\uAC00\u11A8", "\uAC01"},
      {"\uAC01\u11A8", "\uAC01\u11A8"},  // already closed
      {"a\u0301\u0301", "\u00E1\u0301"},
      {"\u0344", "\u0308\u0301"},  // a mark that is two
      {"\u09C7\u09BE", "\u09CB"},  // two letters that are one
      {"\u0301", "\u0301"},        // no letter before it
  };
  for (const auto& c : cases) {
    CAPTURE(c.text);
    CHECK(to_nfc(c.text) == c.expected);
  }
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::string once = to_nfc(random_text(seed, 200));
    CHECK(to_nfc(once) == once);
  }
}

std::vector<std::string> words(Splitter splitter, std::string_view text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = word_end(splitter, text, at);
    REQUIRE(end > at);
    REQUIRE(end <= text.size());
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

TEST_CASE("Splitters cut where their regular expressions do") {
  using Words = std::vector<std::string>;
  const struct {
    Splitter splitter;
    const char* text;
    Words expected;
  } cases[] = {
      {Splitter::kNone, "a b 1", {"a b 1"}},
      {Splitter::kSpaces, "a  bc d", {"a", " ", " bc", " d"}},
      {Splitter::kSpaceRuns, "  a  bc d ", {"  a", "  bc", " d", " "}},
      {Splitter::kGpt2, "Hello world", {"Hello", " world"}},
      {Splitter::kGpt2, "a1234 567!?x", {"a", "1234", " 567", "!?", "x"}},
      {Splitter::kGpt2, "we'll I'M he's", {"we", "'ll", " I", "'", "M", " he", "'s"}},
      {Splitter::kGpt2, "a   b", {"a", "  ", " b"}},
      {Splitter::kGpt2, "a\n\n b", {"a", "\n\n", " b"}},
      {Splitter::kGpt2, "a\n\nb  ", {"a", "\n", "\n", "b", "  "}},
      {Splitter::kGpt2, "\tb", {"\t", "b"}},
      {Splitter::kGpt2Digits, "a12 34", {"a", "1", "2", " ", "3", "4"}},
      {Splitter::kGpt2Digits, "a  1", {"a", "  ", "1"}},
      {Splitter::kGpt2Digits, "a  b\u0661", {"a", " ", " b", "\u0661"}},
      {Splitter::kLlama3, "a12345 6", {"a", "123", "45", " ", "6"}},
      {Splitter::kQwen2, "a123", {"a", "1", "2", "3"}},
      {Splitter::kLlama3, "I'M we'LL x'", {"I", "'M", " we", "'LL", " x", "'"}},
      {Splitter::kLlama3, "\tfoo !bar", {"\tfoo", " !", "bar"}},
      {Splitter::kLlama3, "(foo) \"x\"", {"(foo", ")", " \"", "x", "\""}},
      {Splitter::kLlama3, "a!\n\nb", {"a", "!\n\n", "b"}},
      {Splitter::kLlama3, "a  \n  \n   b", {"a", "  \n  \n", "  ", " b"}},
      {Splitter::kLlama3,
       "a  \xC2\xA0"
       "b",
       {"a", "  ",
        "\xC2\xA0"
        "b"}},
      {Splitter::kLlama3, "a   ", {"a", "   "}},
      {Splitter::kLlama3, "\r\na", {"\r\n", "a"}},
      // Case folding makes the long s an s, and no other letter.
      {Splitter::kLlama3, "it'\u017Fx", {"it", "'\u017F", "x"}},
      {Splitter::kGpt2, "it'\u017Fx", {"it", "'", "\u017Fx"}},
      {Splitter::kQwen2, "'re're'r", {"'re", "'re", "'r"}},
      {Splitter::kQwen2, "e\u0301a", {"e", "\u0301a"}},
      {Splitter::kQwen2, "\u4F60\u597D 1", {"\u4F60\u597D", " ", "1"}},
  };
  for (const auto& c : cases) {
    CAPTURE(c.text);
    CHECK(words(c.splitter, c.text) == c.expected);
  }
}

TEST_CASE("Splitters lose nothing of any text") {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const std::string text = random_text(seed, 300);
    for (uint32_t s = 0; s <= 6; ++s) {
      std::string joined;
      for (const std::string& w : words(static_cast<Splitter>(s), text)) joined += w;
      CHECK(joined == text);
    }
  }
}

}  // namespace
}  // namespace trit
