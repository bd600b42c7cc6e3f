// The table of commands and what holds for all of them: descriptors 0-2 exist, output that is
// refused and files that are cut are no signals, memory that ran out is exit 6, and stdout that
// could not be written is exit 5.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/commands.h"
#include "cmd/common/args.h"
#include "cmd/common/error.h"
#include "cmd/common/output.h"
#include "model_format/status.h"
#include "runtime/include/tritstack.h"

namespace trit {
namespace {

struct Command {
  const char* name;
  const char* summary;
  int (*run)(int argc, char** argv);
};

constexpr Command kCommands[] = {
    {"quantize", "turn a Hugging Face folder into a .trit file", quantize_command},
    {"chat", "talk to a model", chat_command},
    {"run", "complete one prompt", run_command},
    {"plan", "show what fits into how much memory", plan_command},
    {"inspect", "show what a .trit file holds", inspect_command},
    {"verify", "check every byte of a .trit file", verify_command},
    {"perplexity", "measure how well a model predicts a text", perplexity_command},
    {"logits", "write the raw scores of a model", logits_command},
    {"tokenize", "turn text into token ids and back", tokenize_command},
    {"bench", "measure how fast a model runs here", bench_command},
    {"doctor", "check this machine, and say what to do about problems", doctor_command},
};

void print_help() {
  print(
      "tritstack: run a language model from one .trit file\n\nexamples:\n"
      "  tritstack quantize Qwen3-0.6B -o qwen.trit\n"
      "  tritstack chat -m qwen.trit\n"
      "  tritstack run -m qwen.trit -p 'Once upon a time' -n 64\n\ncommands:\n");
  for (const Command& command : kCommands)
    print(format("  %-12s%s\n", command.name, command.summary));
  print("\ntritstack COMMAND --help shows examples and flags; tritstack --version the build.\n");
}

int dispatch(int argc, char** argv) {
  if (argc < 2) return fail(TRIT_USAGE, "missing a command (see tritstack --help)");
  const std::string_view word = argv[1];
  if (word == "help" && argc == 3) {
    char flag[] = "--help";
    char* words[] = {argv[0], argv[2], flag};
    return dispatch(3, words);
  }
  const bool help = word == "--help" || word == "-h" || word == "help";
  if (argc > 2 && (help || word == "--version"))
    return fail(TRIT_USAGE, "unexpected argument " + quoted(argv[2]) + " after " + argv[1]);
  if (help) {
    print_help();
    return TRIT_OK;
  }
  if (!trit_kernel_level()) return fail(TRIT_USAGE, trit_last_error());
  if (word == "--version") return print_version();
  std::vector<std::string_view> names = {"--help", "--version"};
  for (const Command& command : kCommands) {
    if (word == command.name) return command.run(argc - 1, argv + 1);
    names.emplace_back(command.name);
  }
  return fail(TRIT_USAGE, "unknown command " + quoted(word) + nearest_name(word, names) +
                              " (see tritstack --help)");
}

// A closed descriptor 1 would become the number of the next file opened, and results would be
// written into it; reading from the stand-in ends at once, writing to it fails.
void fill_standard_descriptors() {
  while (true) {
    const int fd = open("/dev/null", O_RDONLY);
    if (fd > STDERR_FILENO || fd < 0) {
      if (fd >= 0) close(fd);
      return;
    }
  }
}

}  // namespace
}  // namespace trit

int main(int argc, char** argv) {
  trit::fill_standard_descriptors();
  // Write errors instead, so that destructors run: a reader that went away, a file size limit.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  // A file that is cut while it is mapped ends in an error line. Where the system refuses, in the
  // signal, as without it.
  trit_guard_file_access();
  int code = TRIT_INTERNAL;
  try {
    code = trit::dispatch(argc, argv);
  } catch (const std::bad_alloc&) {
    code = trit::fail(TRIT_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    code = trit::fail(TRIT_INTERNAL, error.what());
  }
  return trit::finish_output(code);
}
