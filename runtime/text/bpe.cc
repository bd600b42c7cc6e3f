// See bpe.h.
#include "runtime/text/bpe.h"

#include <algorithm>
#include <functional>

namespace trit {

void BpeMerger::reserve(size_t symbols) {
  symbols_.reserve(symbols);
  heap_.reserve(2 * symbols);
}

void BpeMerger::add(uint32_t id) {
  const uint32_t i = static_cast<uint32_t>(symbols_.size());
  symbols_.push_back({id, i == 0 ? kEnd : i - 1, i + 1});
}

const TokenMerge* BpeMerger::merge_at(uint32_t left) const {
  const Symbol& s = symbols_[left];
  if (s.id == kNoId || s.next == kEnd) return nullptr;
  return section_.find_merge(s.id, symbols_[s.next].id);
}

void BpeMerger::offer(uint32_t left) {
  const TokenMerge* m = merge_at(left);
  if (m == nullptr) return;
  heap_.push_back(uint64_t{m->rank} << 32 | left);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void BpeMerger::merge(uint32_t left, uint32_t result) {
  Symbol& s = symbols_[left];
  Symbol& removed = symbols_[s.next];
  s.id = result;
  s.next = removed.next;
  removed.id = kNoId;
  if (s.next != kEnd) symbols_[s.next].previous = left;
  if (s.previous != kEnd) offer(s.previous);
  offer(left);
}

void BpeMerger::finish(std::vector<int32_t>* ids) {
  if (symbols_.empty()) return;
  symbols_.back().next = kEnd;
  for (uint32_t i = 0; i + 1 < symbols_.size(); ++i) offer(i);
  while (!heap_.empty()) {
    const uint64_t best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
    const uint32_t left = static_cast<uint32_t>(best);
    const TokenMerge* m = merge_at(left);
    // The entry is stale when the pair it was made for has been merged away.
    if (m != nullptr && m->rank == best >> 32) merge(left, m->result);
  }
  for (uint32_t i = 0; i != kEnd; i = symbols_[i].next) {
    ids->push_back(static_cast<int32_t>(symbols_[i].id));
  }
  symbols_.clear();
}

}  // namespace trit
