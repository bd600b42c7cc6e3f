// Sizes as people type and read them: K, M and G are powers of 1024 in both directions. Whoever
// compares sizes prints them all in one unit. Not here: flags (args.h), one size in a sentence
// (runtime/available_memory.h).
#ifndef TRITSTACK_CMD_COMMON_SIZE_TEXT_H_
#define TRITSTACK_CMD_COMMON_SIZE_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace trit {

// 700M, 1.5G, 900MiB, plain bytes.
bool parse_size(std::string_view text, uint64_t* bytes);

// The unit, and its digits after the point, that suit sizes up to `largest`: one for a whole table
// or axis, so that its numbers compare at a glance.
struct SizeUnit {
  explicit SizeUnit(uint64_t largest);
  std::string number(uint64_t size) const;  // "700.0"
  std::string text(uint64_t size) const;    // "700.0 MiB"

  const char* name;  // "MiB"
  uint64_t bytes;
  int decimals;
};

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_SIZE_TEXT_H_
