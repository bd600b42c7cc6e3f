// The order in which planes are stored, judged by what trained models say: more planes of it never
// make a model worse. That it is better than chance: tests/memory/order_test.cc.
#include <doctest/doctest.h>

#include "tests/support/prefix_scores.h"

namespace trit {

TEST_CASE("perplexity falls along the stored order, from the base to all planes") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const TempDir folder;
  const std::string text = read_file(shared_data() + "/corpora/tinystories.eval.txt");
  const std::pair<const char*, size_t> models[] = {{"stories260K-hf", 2000},
                                                   {"stories-qwen3-hf", 8000}};
  for (const auto& [checkpoint, bytes] : models) {
    CAPTURE(std::string(checkpoint));
    PrefixScores scores(quantized(folder, checkpoint), text.substr(0, bytes));
    const std::vector<size_t> prefixes = twelve_prefixes(scores.reader());
    const double base = scores.perplexity(prefixes[0]);
    double last = base;
    for (size_t i = 1; i < prefixes.size(); ++i) {
      CAPTURE(i);
      const double now = scores.perplexity(prefixes[i]);
      CHECK(now <= 1.005 * last);
      last = now;
    }
    CHECK(last < 0.97 * base);
  }
}

}  // namespace trit
