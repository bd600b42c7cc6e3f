// Stop texts: what may be handed out, and when an answer is over.
#include "runtime/generate.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace trit;

namespace {

// Feeds `pieces`; what was handed out, '|' at the border of pieces, '#' where a stop came.
std::string fed(const std::vector<std::string_view>& stops,
                const std::vector<std::string_view>& pieces) {
  StopMatcher matcher{Span<const std::string_view>(stops)};
  std::string out;
  for (const std::string_view piece : pieces) {
    const bool complete = matcher.next(piece);
    out += matcher.ready();
    if (complete) return out + "#";
    out += "|";
  }
  return out + std::string(matcher.last(""));
}

}  // namespace

TEST_CASE("text passes at once where no stop text begins") {
  CHECK(fed({}, {"ab", "", "c"}) == "ab||c|");
  CHECK(fed({"xyz"}, {"ab", "c"}) == "ab|c|");
}

TEST_CASE("a stop text is found inside a piece, across pieces, and byte by byte") {
  CHECK(fed({"END"}, {"oneENDtwo"}) == "one#");
  CHECK(fed({"END"}, {"oneE", "N", "Dtwo"}) == "one||#");
  CHECK(fed({"\nUser:"}, {"a", "\n", "U", "s", "e", "r", ":"}) == "a||||||#");
  CHECK(fed({"END"}, {"END"}) == "#");
}

TEST_CASE("what only looked like a stop text is handed out after all") {
  CHECK(fed({"END"}, {"aEN", "X"}) == "a|ENX|");
  CHECK(fed({"aab"}, {"a", "a", "a", "b"}) == "||a|#");
  CHECK(fed({"END"}, {"tail E"}) == "tail |E");
}

TEST_CASE("of several stop texts the first in the text counts") {
  CHECK(fed({"cd", "b"}, {"abcd"}) == "a#");
  CHECK(fed({"bcde", "c"}, {"ab", "c"}) == "a|b#");
}

TEST_CASE("text held back is never half a character") {
  // The stop begins with a three-byte character; another one with the same first byte passes.
  CHECK(fed({"\xE2\x82\xAC!"}, {"a\xE2\x82\xAC", "\xE2\x82\xAD"}) == "a|\xE2\x82\xAC\xE2\x82\xAD|");
}
