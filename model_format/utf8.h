// One question about UTF-8, asked by every reader of foreign text: is a whole, valid character
// here? Not here: decoding for tokenizers (runtime/text).
#ifndef TRITSTACK_MODEL_FORMAT_UTF8_H_
#define TRITSTACK_MODEL_FORMAT_UTF8_H_

#include <cstddef>
#include <string_view>

namespace trit {

// Bytes of the UTF-8 character that `text` begins with, 0 when it begins with none: overlong forms,
// surrogates, values past 10FFFF and cut characters are none.
inline size_t utf8_character_bytes(std::string_view text) {
  const auto byte = [&](size_t i) -> unsigned { return static_cast<unsigned char>(text[i]); };
  if (text.empty()) return 0;
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return 0;
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (lead == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
  if (lead == 0xed && byte(1) > 0x9f) return 0;  // surrogates
  if (lead == 0xf0 && byte(1) < 0x90) return 0;  // overlong
  if (lead == 0xf4 && byte(1) > 0x8f) return 0;  // past 10FFFF
  return bytes;
}

inline bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t bytes = utf8_character_bytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_UTF8_H_
