// See process.h.
#include "tests/support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

extern char** environ;

namespace trit {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> list;
  for (const std::string& word : words) list.push_back(const_cast<char*>(word.c_str()));
  list.push_back(nullptr);
  return list;
}

void pause_briefly() {
  usleep(5000);
}

}  // namespace

uint64_t memory_in(const std::string& file, const std::string& name) {
  const std::string status = read_file("/proc/" + file);
  const size_t at = status.find("\n" + name + ":");
  if (at == std::string::npos) return 0;
  return std::strtoull(&status[at + name.size() + 2], nullptr, 10) * 1024;
}

Process::Process(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  std::string input = options.input_path.empty() ? "/dev/null" : options.input_path;
  if (!options.input.empty()) {
    input = folder_.path("in");
    write_file(input, options.input);
  }
  const std::string out = options.output_path.empty() ? folder_.path("out") : options.output_path;
  const std::string err = options.error_path.empty() ? folder_.path("err") : options.error_path;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // A FIFO or terminal is opened for both: its opening must not wait for a writer.
  const int input_mode = options.input_path.empty() ? O_RDONLY : O_RDWR | O_NOCTTY;
  posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), input_mode, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT, 0600);
  for (const int fd : options.closed) posix_spawn_file_actions_addclose(&actions, fd);
  std::vector<std::string> environment = options.environment;
  for (char** entry = environ; *entry; ++entry) environment.emplace_back(*entry);
  if (posix_spawn(&pid_, arguments[0].c_str(), &actions, nullptr, pointers(arguments).data(),
                  pointers(environment).data()) != 0)
    ended_ = true;
  posix_spawn_file_actions_destroy(&actions);
}

void Process::send(int signal) const {
  if (pid_ > 0) kill(pid_, signal);  // -1, not started, would be every process there is
}

uint64_t Process::peak_bytes() const {
  return memory_in(std::to_string(pid_) + "/status", "VmHWM");
}

bool Process::wait_for(const std::string& stream, const std::string& text) const {
  for (int i = 0; i < 2000; ++i) {
    if (read_file(folder_.path(stream)).find(text) != std::string::npos) return true;
    pause_briefly();
  }
  return false;
}

bool Process::running() {
  if (!ended_) ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return !ended_;
}

int exit_code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

ProcessResult Process::wait() {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point patience = Clock::now() + std::chrono::minutes(30);
  for (useconds_t pause = 100; running(); pause = std::min<useconds_t>(2 * pause, 5000)) {
    if (Clock::now() > patience) send(SIGKILL);
    usleep(pause);
  }
  ProcessResult result;
  if (pid_ > 0) result.exit_code = exit_code_of(status_);
  result.out = read_file(folder_.path("out"));
  result.err = read_file(folder_.path("err"));
  return result;
}

ProcessResult run_process(const std::vector<std::string>& arguments,
                          const ProcessOptions& options) {
  return Process(arguments, options).wait();
}

std::string tritstack_path() {
  const char* path = std::getenv("TRITSTACK");
  return path ? path : "./tritstack";
}

ProcessResult tritstack(std::vector<std::string> arguments, const ProcessOptions& options) {
  arguments.insert(arguments.begin(), tritstack_path());
  return run_process(arguments, options);
}

}  // namespace trit
