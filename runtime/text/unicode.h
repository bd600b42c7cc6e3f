// UTF-8 and the character classes of the splitters. Bytes that are not UTF-8 read as U+FFFD, one
// per maximal subpart (the longest run that could have begun a character), as the Unicode standard
// recommends.
#ifndef TRITSTACK_RUNTIME_TEXT_UNICODE_H_
#define TRITSTACK_RUNTIME_TEXT_UNICODE_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace trit {

struct CodePoint {
  char32_t value = 0;
  size_t bytes = 0;      // read; 0 at the end of the text
  bool cut_off = false;  // the text ends inside this character, which was valid so far
};

// The character at text[at]; at <= text.size().
CodePoint decode_utf8(std::string_view text, size_t at);
void append_utf8(char32_t c, std::string* out);
// Appends `text` with every byte that is not UTF-8 replaced.
void append_valid_utf8(std::string_view text, std::string* out);

bool is_letter(char32_t c);       // \p{L}
bool is_number(char32_t c);       // \p{N}
bool is_white_space(char32_t c);  // \s: the White_Space property

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_TEXT_UNICODE_H_
