// The budget of a command that runs a model: what --memory asks for, or what is free; and one line
// that says what a model makes of it. Uses only the public C API. Not here: the flags
// (model_flags.h), what every prefix would take (cmd/plan.cc).
#ifndef TRITSTACK_CMD_COMMON_MEMORY_BUDGET_H_
#define TRITSTACK_CMD_COMMON_MEMORY_BUDGET_H_

#include <string>

#include "cmd/common/model_flags.h"

namespace trit {

// "planes 3, head planes 3, 75 of 88 blocks"; where more were asked for than there are, that too.
std::string planes_in_use(const ModelFlags& flags, const trit_model_info& info);
// "memory 10.1 MiB of 10.5 MiB".
std::string memory_in_use(const ModelFlags& flags, const trit_model_info& info);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_MEMORY_BUDGET_H_
