// See unicode.h.
#include "runtime/text/unicode.h"

#include <algorithm>
#include <cstdint>

#include "runtime/text/unicode_tables.h"

namespace trit {

namespace {

constexpr char32_t kReplacement = 0xFFFD;

bool in_ranges(const CodePointRange* ranges, size_t count, char32_t c) {
  const CodePointRange* found =
      std::lower_bound(ranges, ranges + count, c,
                       [](const CodePointRange& r, char32_t code) { return r.last < code; });
  return found != ranges + count && found->first <= c;
}

}  // namespace

CodePoint decode_utf8(std::string_view text, size_t at) {
  if (at >= text.size()) return {};
  const uint8_t lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return {lead, 1, false};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (lead < 0xC2 || lead > 0xF4) return {kReplacement, 1, false};
  // The second byte is where overlong forms, surrogates and values past U+10FFFF show.
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t value = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if (at + i >= text.size()) return {kReplacement, i, true};
    const uint8_t byte = static_cast<uint8_t>(text[at + i]);
    if (byte < (i == 1 ? low : 0x80) || byte > (i == 1 ? high : 0xBF)) {
      return {kReplacement, i, false};
    }
    value = value << 6 | (byte & 0x3F);
  }
  return {value, length, false};
}

void append_utf8(char32_t c, std::string* out) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
    return;
  }
  const int tails = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  out->push_back(static_cast<char>((0xFFu << (7 - tails) & 0xFF) | c >> 6 * tails));
  for (int i = tails - 1; i >= 0; --i) {
    out->push_back(static_cast<char>(0x80 | (c >> 6 * i & 0x3F)));
  }
}

void append_valid_utf8(std::string_view text, std::string* out) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    append_utf8(c.value, out);
    at += c.bytes;
  }
}

bool is_letter(char32_t c) {
  if (c < 0x80) return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
  return in_ranges(kLetters, kLettersCount, c);
}

bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return in_ranges(kNumbers, kNumbersCount, c);
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

}  // namespace trit
