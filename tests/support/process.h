// Runs a program and collects what it wrote: standard streams are files of a fresh folder, so
// nothing can block. The command under test is $TRITSTACK.
#ifndef TRITSTACK_TESTS_SUPPORT_PROCESS_H_
#define TRITSTACK_TESTS_SUPPORT_PROCESS_H_

#include <sys/types.h>

#include <climits>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace trit {

struct ProcessOptions {
  std::string input;                     // what standard input holds; empty: /dev/null
  std::string input_path;                // or a file (a FIFO, a terminal) to read
  std::string output_path;               // instead of collecting standard output
  std::string error_path;                // instead of collecting standard error
  std::vector<int> closed;               // descriptors the program starts without
  std::vector<std::string> environment;  // "NAME=value", added
};

// Of what waitpid() says: -n when signal n ended it.
int exit_code_of(int status);

struct ProcessResult {
  int exit_code = INT_MIN;  // exit_code_of(), or it was never started
  std::string out, err;
};

// A figure of memory in bytes, such as "VmHWM" in "self/status", a file below /proc; 0: the system
// does not tell. "Rss" in smaps_rollup counts pages, VmRSS may be off by some on each CPU.
uint64_t memory_in(const std::string& file, const std::string& name);

class Process {
 public:
  Process(const std::vector<std::string>& arguments, const ProcessOptions& options = {});
  void send(int signal) const;
  // The most that a running process has had resident, in bytes; 0: the system does not tell.
  uint64_t peak_bytes() const;
  // Polls until standard output (error) holds `text`, at most ten seconds; false: it never did.
  bool wait_for_output(const std::string& text) const { return wait_for("out", text); }
  bool wait_for_error(const std::string& text) const { return wait_for("err", text); }
  bool running();
  std::string output() const { return read_file(folder_.path("out")); }  // so far
  // At most half an hour: then it is killed.
  ProcessResult wait();

 private:
  bool wait_for(const std::string& stream, const std::string& text) const;

  TempDir folder_;
  pid_t pid_ = -1;
  int status_ = -1;
  bool ended_ = false;
};

ProcessResult run_process(const std::vector<std::string>& arguments,
                          const ProcessOptions& options = {});

// $TRITSTACK with these arguments.
ProcessResult tritstack(std::vector<std::string> arguments, const ProcessOptions& options = {});
std::string tritstack_path();

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_PROCESS_H_
