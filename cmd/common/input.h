// What commands read besides models: whole texts from files and pipes, and lists of token ids.
#ifndef TRITSTACK_CMD_COMMON_INPUT_H_
#define TRITSTACK_CMD_COMMON_INPUT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trit {

// The bytes of a file ("-": standard input), at most `limit`. Returns an exit code (printed).
int read_text(const std::string& path, uint64_t limit, std::string* text);

// Standard input is a pipe, file or socket: something that was put there on purpose.
bool stdin_is_piped();

// An output may not take the place of an input, which is called "the model" or the like. Returns an
// exit code (printed).
int refuse_input(const std::string& output, const std::string& input, const char* what);

// NUL bytes, which end a trit_message, as U+FFFD.
std::string without_nul(std::string_view text);

// "1,2,3", separated by commas or white space, each below `vocab`. Returns an exit code (printed);
// `what` names the source in errors, `code` is the one for a bad list (2: an argument, 3: a file).
int parse_ids(std::string_view text, std::string_view what, int code, uint32_t vocab,
              std::vector<int32_t>* ids);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_INPUT_H_
