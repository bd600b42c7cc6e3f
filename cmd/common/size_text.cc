// See size_text.h.
#include "cmd/common/size_text.h"

#include <charconv>
#include <cmath>

#include "cmd/common/args.h"
#include "cmd/common/error.h"

namespace trit {

bool parse_size(std::string_view text, uint64_t* bytes) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string_view suffix = text.substr(digits);
  int shift = 0;
  if (!suffix.empty()) {
    const size_t unit = std::string_view("KMGTkmgt").find(suffix[0]);
    if (unit == std::string_view::npos || (suffix.size() > 1 && suffix.substr(1) != "iB"))
      return false;
    shift = 10 * (static_cast<int>(unit % 4) + 1);
  }
  const std::string_view number = text.substr(0, digits);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), *bytes);
  if (error != std::errc()) return false;
  if (end == number.data() + number.size()) {
    if (*bytes > UINT64_MAX >> shift) return false;
    *bytes <<= shift;
    return true;
  }
  double value = 0;  // 1.5G; a fraction of a byte makes no sense
  if (shift == 0 || !parse_number(number, &value)) return false;
  value = std::ldexp(value, shift);
  if (value >= 9.2e18) return false;
  *bytes = static_cast<uint64_t>(value);
  return true;
}

SizeUnit::SizeUnit(uint64_t largest) : name("bytes"), bytes(1), decimals(0) {
  constexpr const char* kNames[] = {"KiB", "MiB", "GiB"};
  // A unit begins at 1 of it, GiB at 10: 1.2 and 1.3 GiB are less telling than 1229 and 1331 MiB.
  constexpr uint64_t kFrom[] = {1ull << 10, 1ull << 20, 10ull << 30};
  for (int i = 0; i < 3 && largest >= kFrom[i]; ++i) {
    name = kNames[i];
    bytes = uint64_t{1} << (10 * (i + 1));
    decimals = largest < 100 * bytes ? 2 : 1;
  }
}

std::string SizeUnit::number(uint64_t size) const {
  return format("%.*f", decimals, static_cast<double>(size) / static_cast<double>(bytes));
}

std::string SizeUnit::text(uint64_t size) const {
  return number(size) + " " + name;
}

}  // namespace trit
