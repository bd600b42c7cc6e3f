// The models that command tests run: the demo, and stories260K as `quantize` makes it with some
// flags (each combination once per test program).
#ifndef TRITSTACK_TESTS_CMD_MODELS_H_
#define TRITSTACK_TESTS_CMD_MODELS_H_

#include <string>
#include <vector>

namespace trit {

constexpr const char* kDemo = "cmd/demo/stories.trit";

// ../shared/data/models/stories260K-hf quantized with these flags; empty without the shared data.
std::string stories260k(const std::vector<std::string>& flags);

}  // namespace trit

#endif  // TRITSTACK_TESTS_CMD_MODELS_H_
