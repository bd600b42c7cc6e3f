// See nfc.h.
#include "runtime/text/nfc.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/text/unicode.h"
#include "runtime/text/unicode_tables.h"

namespace trit {

namespace {

// No character below is changed by NFC or combines with one before it.
constexpr char32_t kFirstAffected = 0x300;

// Hangul syllables are arithmetic: lead consonant, vowel, optional tail consonant.
constexpr char32_t kSyllableBase = 0xAC00, kLeadBase = 0x1100, kVowelBase = 0x1161,
                   kTailBase = 0x11A7;
constexpr char32_t kLeads = 19, kVowels = 21, kTails = 28;

bool is_syllable(char32_t c) {
  return c >= kSyllableBase && c < kSyllableBase + kLeads * kVowels * kTails;
}

struct Mark {
  char32_t code;
  uint8_t combining_class;
};

uint8_t combining_class(char32_t c) {
  if (c < kFirstAffected) return 0;
  const CombiningRange* end = kCombiningClasses + kCombiningClassesCount;
  const CombiningRange* found =
      std::lower_bound(kCombiningClasses, end, c,
                       [](const CombiningRange& r, char32_t code) { return r.last < code; });
  return found != end && found->first <= c ? found->combining_class : 0;
}

// Recursion is as deep as Unicode's longest chain of decompositions (four).
void decompose(char32_t c, std::vector<Mark>* out) {
  if (is_syllable(c)) {
    const char32_t index = c - kSyllableBase;
    out->push_back({kLeadBase + index / (kVowels * kTails), 0});
    out->push_back({kVowelBase + index % (kVowels * kTails) / kTails, 0});
    if (index % kTails != 0) out->push_back({kTailBase + index % kTails, 0});
    return;
  }
  const Decomposition* end = kDecompositions + kDecompositionsCount;
  const Decomposition* found = std::lower_bound(
      kDecompositions, end, c, [](const Decomposition& d, char32_t code) { return d.code < code; });
  if (found == end || found->code != c) {
    out->push_back({c, combining_class(c)});
    return;
  }
  decompose(found->first, out);
  if (found->second != 0) decompose(found->second, out);
}

// The character that the pair composes to, or 0.
char32_t compose(char32_t first, char32_t second) {
  if (first >= kLeadBase && first < kLeadBase + kLeads && second >= kVowelBase &&
      second < kVowelBase + kVowels) {
    return kSyllableBase + ((first - kLeadBase) * kVowels + second - kVowelBase) * kTails;
  }
  if (is_syllable(first) && (first - kSyllableBase) % kTails == 0 && second > kTailBase &&
      second < kTailBase + kTails) {
    return first + second - kTailBase;
  }
  const std::pair<char32_t, char32_t> pair{first, second};
  const uint16_t* end = kCompositions + kCompositionsCount;
  const uint16_t* found = std::lower_bound(kCompositions, end, pair, [](uint16_t i, const auto& p) {
    return std::make_pair(kDecompositions[i].first, kDecompositions[i].second) < p;
  });
  if (found == end) return 0;
  const Decomposition& d = kDecompositions[*found];
  return d.first == first && d.second == second ? d.code : 0;
}

void order_marks(std::vector<Mark>* marks) {
  for (auto begin = marks->begin(); begin != marks->end();) {
    if (begin->combining_class == 0) {
      ++begin;
      continue;
    }
    auto end = std::find_if(begin, marks->end(), [](Mark m) { return m.combining_class == 0; });
    std::stable_sort(begin, end,
                     [](Mark a, Mark b) { return a.combining_class < b.combining_class; });
    begin = end;
  }
}

// In place: a mark joins the last letter unless one of equal or higher class stands between.
void compose_all(std::vector<Mark>* marks) {
  size_t written = 0, starter = SIZE_MAX;
  for (const Mark m : *marks) {
    if (starter != SIZE_MAX) {
      const bool adjacent = written == starter + 1;
      const bool free = adjacent || (*marks)[written - 1].combining_class < m.combining_class;
      const char32_t composed = free ? compose((*marks)[starter].code, m.code) : 0;
      if (composed != 0) {
        (*marks)[starter].code = composed;
        continue;
      }
    }
    if (m.combining_class == 0) starter = written;
    (*marks)[written++] = m;
  }
  marks->resize(written);
}

}  // namespace

std::string to_nfc(std::string text) {
  size_t at = 0;
  while (at < text.size()) {
    const CodePoint c = decode_utf8(text, at);
    if (c.value >= kFirstAffected) break;
    at += c.bytes;
  }
  if (at == text.size()) return text;
  std::vector<Mark> marks;
  marks.reserve(text.size());
  for (at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    decompose(c.value, &marks);
    at += c.bytes;
  }
  order_marks(&marks);
  compose_all(&marks);
  text.clear();
  for (const Mark m : marks) append_utf8(m.code, &text);
  return text;
}

}  // namespace trit
