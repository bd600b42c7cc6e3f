// The one argument parser. A command describes itself as a table of flags, each bound to a
// variable; parse_args() fills them, prints --help (examples first), and says what is wrong with
// the rest. A target that has a value beforehand has a default; the others are empty until given.
// Numbers are read strictly and without locale: no trailing text, no NaN, no hexadecimal.
#ifndef TRITSTACK_CMD_COMMON_ARGS_H_
#define TRITSTACK_CMD_COMMON_ARGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace trit {

struct IntegerTarget {
  std::optional<int64_t>* value;
  int64_t min, max;
};
struct NumberTarget {
  std::optional<double>* value;
  double min, max;
};
struct SizeTarget {  // bytes; 700M, 1.5G, 900MiB
  std::optional<uint64_t>* value;
  bool automatic = false;  // "auto" is a size too: no value
};
struct TextTarget {
  std::optional<std::string>* value;
  std::vector<std::string> choices;  // empty: any text
};
struct ListTarget {  // repeatable
  std::vector<std::string>* values;
};
struct SwitchTarget {
  bool* value;
};

struct Flag {
  const char* names;  // "-t, --threads"; without a dash: a positional argument
  const char* value;  // how help calls its value: "N"; "" for a switch
  const char* help;
  std::variant<SwitchTarget, IntegerTarget, NumberTarget, SizeTarget, TextTarget, ListTarget>
      target;
  bool required = false;  // texts only
};
constexpr bool kRequired = true;

struct CommandLine {
  const char* name;
  const char* summary;
  const char* examples;  // lines, each "  tritstack ..."
  std::vector<Flag> flags;
};

// Reads argv[1..). Empty: go on. Otherwise the exit code to end with: 0 after --help and --version,
// 2 after a usage error, which has been printed.
std::optional<int> parse_args(const CommandLine& command, int argc, char** argv);

// What --version prints, alone or after any command. Returns 0.
int print_version();

bool parse_integer(std::string_view text, int64_t* value);
bool parse_number(std::string_view text, double* value);

// ", the nearest is NAME": the candidate with the smallest edit distance (the first of equals), or
// nothing where that is half of the word. `names` is not empty.
std::string nearest_name(std::string_view word, const std::vector<std::string_view>& names);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_ARGS_H_
