// The models that command tests run: the demo, a small random one without a tokenizer, and
// stories260K as `quantize` makes it with some flags (each combination once per test program). Also
// the check of an error, which is the same for every command.
#ifndef TRITSTACK_TESTS_CMD_MODELS_H_
#define TRITSTACK_TESTS_CMD_MODELS_H_

#include <string>
#include <vector>

#include "tests/support/process.h"

namespace trit {

constexpr const char* kDemo = "cmd/demo/stories.trit";

// ../shared/data/models/stories260K-hf quantized with these flags; empty without the shared data.
std::string stories260k(const std::vector<std::string>& flags);

// vocab 100, 64 positions, 3 planes and 4 head planes.
const std::string& tiny_path();

// The command ends with this code, nothing on standard output, and on standard error exactly one
// line, an error that holds `part`.
void check_error(const std::vector<std::string>& arguments, int exit_code, const std::string& part,
                 const ProcessOptions& options = {});

// The budget that such an error of memory names, in digits.
std::string budget_named_in(const std::string& err);

}  // namespace trit

#endif  // TRITSTACK_TESTS_CMD_MODELS_H_
