// Byte-pair merging of one word: the pair with the lowest rank first, the leftmost of equal ones,
// in O(n log n) for words of any length, with at most 28 bytes of memory a symbol: a word can be
// as long as the text.
#ifndef TRITSTACK_RUNTIME_TEXT_BPE_H_
#define TRITSTACK_RUNTIME_TEXT_BPE_H_

#include <cstdint>
#include <vector>

#include "model_format/tokenizer_section.h"

namespace trit {

class BpeMerger {
 public:
  explicit BpeMerger(const TokenizerSection& section) : section_(section) {}

  // Before a word of at most so many symbols: vectors that grew would take twice the memory.
  void reserve(size_t symbols);
  // The word's symbols, left to right.
  void add(uint32_t id);
  // Merges them, appends what is left to *ids and is ready for the next word.
  void finish(std::vector<int32_t>* ids);

 private:
  static constexpr uint32_t kEnd = 0xFFFFFFFFu;
  struct Symbol {
    uint32_t id;              // kNoId: merged into the one before it
    uint32_t previous, next;  // kEnd: none
  };
  // Of a symbol with the next one; null when they do not merge.
  const TokenMerge* merge_at(uint32_t left) const;
  void offer(uint32_t left);
  void merge(uint32_t left, uint32_t result);

  const TokenizerSection& section_;
  std::vector<Symbol> symbols_;  // a linked list in an array: removed ones stay in place
  std::vector<uint64_t> heap_;   // rank << 32 | left, smallest first; may hold stale entries: at
                                 // most one for each pair and one more for each merge
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_TEXT_BPE_H_
