// See pretokenize.h. Each function below is one regular expression; its alternatives are tried in
// the order of the pattern, each quoted where it is matched.
#include "runtime/text/pretokenize.h"

#include <algorithm>

#include "runtime/text/unicode.h"

namespace trit {

namespace {

bool is_newline(char32_t c) {
  return c == '\r' || c == '\n';
}
bool is_symbol(char32_t c) {
  return !is_white_space(c) && !is_letter(c) && !is_number(c);
}

// End of the run of at most `limit` characters for which `test` holds.
template <typename Test>
size_t run_end(std::string_view text, size_t at, Test test, size_t limit = SIZE_MAX) {
  for (; limit > 0; --limit) {
    const CodePoint c = decode_utf8(text, at);
    if (c.bytes == 0 || !test(c.value)) break;
    at += c.bytes;
  }
  return at;
}

// End of 's 't 're 've 'm 'll 'd at the apostrophe text[at], or `at`. Ignoring case, U+017F (long
// s) is an s, as Unicode's case folding and so every regex engine has it.
size_t contraction_end(std::string_view text, size_t at, bool ignore_case) {
  auto letter = [&](size_t i) -> char {
    if (i >= text.size()) return 0;
    const bool upper = text[i] >= 'A' && text[i] <= 'Z';
    return ignore_case && upper ? static_cast<char>(text[i] + 'a' - 'A') : text[i];
  };
  const char first = letter(at + 1), second = letter(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
  if (first == 'l' && second == 'l') return at + 3;
  if (ignore_case && text.substr(at + 1, 2) == "\xC5\xBF") return at + 3;
  return at;
}

struct Blank {
  size_t end;          // of the white space
  size_t last;         // where its last character begins
  size_t newline_end;  // behind its last newline; 0: none
};

Blank scan_blank(std::string_view text, size_t at) {
  Blank blank{at, at, 0};
  for (;;) {
    const CodePoint c = decode_utf8(text, blank.end);
    if (c.bytes == 0 || !is_white_space(c.value)) return blank;
    blank.last = blank.end;
    blank.end += c.bytes;
    if (is_newline(c.value)) blank.newline_end = blank.end;
  }
}

// \s+(?!\S)|\s+ : before other text the last blank is left to the next word.
size_t blank_end(const Blank& blank, size_t at, bool before_text) {
  return before_text && blank.last > at ? blank.last : blank.end;
}

// With `digits_alone` the text was cut at every digit before.
size_t gpt2_end(std::string_view text, size_t at, bool digits_alone) {
  const CodePoint c = decode_utf8(text, at);
  if (digits_alone && is_number(c.value)) return at + c.bytes;
  if (c.value == '\'') {  // 's|'t|'re|'ve|'m|'ll|'d
    const size_t end = contraction_end(text, at, false);
    if (end > at) return end;
  }
  const size_t body = c.value == ' ' ? at + 1 : at;
  size_t end = run_end(text, body, is_letter);  //  ?\p{L}+
  if (end > body) return end;
  if (!digits_alone) end = run_end(text, body, is_number);  //  ?\p{N}+
  if (end > body) return end;
  end = run_end(text, body, is_symbol);  //  ?[^\s\p{L}\p{N}]+
  if (end > body) return end;
  const Blank blank = scan_blank(text, at);
  const CodePoint next = decode_utf8(text, blank.end);
  return blank_end(blank, at, next.bytes > 0 && !(digits_alone && is_number(next.value)));
}

size_t llama3_end(std::string_view text, size_t at, size_t max_digits) {
  const CodePoint c = decode_utf8(text, at);
  if (c.value == '\'') {  // (?i:'s|'t|'re|'ve|'m|'ll|'d)
    const size_t end = contraction_end(text, at, true);
    if (end > at) return end;
  }
  const bool number = is_number(c.value);
  const bool lead = !is_letter(c.value) && !number && !is_newline(c.value);
  size_t body = lead ? at + c.bytes : at;
  size_t end = run_end(text, body, is_letter);  // [^\r\n\p{L}\p{N}]?\p{L}+
  if (end > body) return end;
  if (number) return run_end(text, at, is_number, max_digits);  // \p{N} or \p{N}{1,3}
  body = c.value == ' ' ? at + 1 : at;
  end = run_end(text, body, is_symbol);  //  ?[^\s\p{L}\p{N}]+[\r\n]*
  if (end > body) return run_end(text, end, is_newline);
  const Blank blank = scan_blank(text, at);
  if (blank.newline_end > 0) return blank.newline_end;  // \s*[\r\n]+
  return blank_end(blank, at, blank.end < text.size());
}

}  // namespace

size_t word_end(Splitter splitter, std::string_view text, size_t at) {
  switch (splitter) {
    case Splitter::kNone:
      break;
    case Splitter::kGpt2:
      return gpt2_end(text, at, false);
    case Splitter::kGpt2Digits:
      return gpt2_end(text, at, true);
    case Splitter::kLlama3:
      return llama3_end(text, at, 3);
    case Splitter::kQwen2:
      return llama3_end(text, at, 1);
    case Splitter::kSpaces:
      return std::min(text.find(' ', at + 1), text.size());
    case Splitter::kSpaceRuns:
      return std::min(text.find(' ', text.find_first_not_of(' ', at)), text.size());
  }
  return text.size();
}

}  // namespace trit
