// The Unicode facts that text needs, as sorted tables: letters and numbers for the splitters,
// canonical decompositions for NFC. unicode_tables.cc is generated. Not here: the functions that
// search them (unicode.h, nfc.h).
#ifndef TRITSTACK_RUNTIME_TEXT_UNICODE_TABLES_H_
#define TRITSTACK_RUNTIME_TEXT_UNICODE_TABLES_H_

#include <cstddef>
#include <cstdint>

namespace trit {

struct CodePointRange {
  char32_t first, last;
};
extern const CodePointRange kLetters[];  // general category L*
extern const size_t kLettersCount;
extern const CodePointRange kNumbers[];  // general category N*
extern const size_t kNumbersCount;

struct CombiningRange {
  char32_t first, last;
  uint8_t combining_class;
};
extern const CombiningRange kCombiningClasses[];  // characters not listed have class 0
extern const size_t kCombiningClassesCount;

// One step of canonical decomposition; Hangul syllables are computed instead.
struct Decomposition {
  char32_t code, first, second;  // second 0: a single character
};
extern const Decomposition kDecompositions[];  // by code
extern const size_t kDecompositionsCount;
// Indices into kDecompositions of the pairs that NFC composes, by (first, second).
extern const uint16_t kCompositions[];
extern const size_t kCompositionsCount;

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_TEXT_UNICODE_TABLES_H_
