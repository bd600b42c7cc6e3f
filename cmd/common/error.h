// How a command says that it failed: exactly one line on stderr and an exit code, and
// the notices that are not errors. Codes are those of trit_status (and of model_format's Code): 0
// ok, 1 internal, 2 usage, 3 malformed, 4 unsupported, 5 I/O, 6 memory, 7 limit, 130 interrupted.
#ifndef TRITSTACK_CMD_COMMON_ERROR_H_
#define TRITSTACK_CMD_COMMON_ERROR_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/include/tritstack.h"

namespace trit {

class Status;

// Prints "tritstack: error: <message>" and returns `code`, so commands end with `return fail(...)`.
int fail(int code, std::string_view message);
// The same for a failed call of the C API: the sentence is trit_last_error().
int fail(trit_status status);
// And for a Status of the rooms below.
int fail(const Status& status);
// "<path>: cannot <verb>: <why>", code 5.
int fail_io(std::string_view path, std::string_view verb, int error);

// "tritstack: <message>" on stderr.
void note(std::string_view message);

// printf into a string.
__attribute__((format(printf, 1, 2))) std::string format(const char* pattern, ...);
std::string range_text(uint32_t least, uint32_t most);      // "2-3", or "3" where both are
std::string joined(const std::vector<std::string>& words);  // "a, b"

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_ERROR_H_
