// Byte-pair merging of one word: the pair with the lowest rank first, the leftmost of equal ones,
// in O(n log n) for words of any length (a text of Llama-2 is one word).
#ifndef TRITSTACK_RUNTIME_TEXT_BPE_H_
#define TRITSTACK_RUNTIME_TEXT_BPE_H_

#include <cstdint>
#include <vector>

#include "model_format/tokenizer_section.h"

namespace trit {

class BpeMerger {
 public:
  explicit BpeMerger(const TokenizerSection& section) : section_(section) {}

  // The word's symbols, left to right.
  void add(uint32_t id);
  // Merges them, appends what is left to *ids and is ready for the next word.
  void finish(std::vector<int32_t>* ids);

 private:
  static constexpr uint32_t kEnd = 0xFFFFFFFFu;
  struct Symbol {
    uint32_t id;
    uint32_t previous, next;  // kEnd: none
    const TokenMerge* merge;  // with the next one, or null
  };
  void offer(uint32_t left);
  void merge(uint32_t left);

  const TokenizerSection& section_;
  std::vector<Symbol> symbols_;  // a linked list in an array: removed ones stay in place
  std::vector<uint64_t> heap_;   // rank << 32 | left, smallest first; may hold stale entries
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_TEXT_BPE_H_
