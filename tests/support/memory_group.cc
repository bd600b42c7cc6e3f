// See memory_group.h.
#include "tests/support/memory_group.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/process.h"

namespace trit {

namespace {

bool write_number(const std::string& path, uint64_t number) {
  std::ofstream file(path);
  file << number << std::flush;
  return file.good();
}

// The folder of this process's own group; empty when there is none of this kind.
std::string own_group(const std::string& controllers, const std::string& mount) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::string rest = line.substr(line.find(':') + 1);
    if (rest.compare(0, controllers.size() + 1, controllers + ":") == 0)
      return mount + rest.substr(controllers.size() + 1);
  }
  return "";
}

}  // namespace

MemoryGroup::MemoryGroup(uint64_t limit_bytes) {
  if (make(own_group("memory", "/sys/fs/cgroup/memory"), "memory.limit_in_bytes", limit_bytes))
    return;
  make(own_group("", "/sys/fs/cgroup"), "memory.max", limit_bytes);
}

bool MemoryGroup::make(const std::string& parent, const char* limit_name, uint64_t limit_bytes) {
  const std::string folder = parent + "/tritstack-test-" + std::to_string(getpid());
  if (parent.empty() || mkdir(folder.c_str(), 0700) != 0) return false;
  folder_ = folder;
  limit_file_ = folder + "/" + limit_name;
  const int entered = access(limit_file_.c_str(), W_OK) == 0 &&
                      write_number(limit_file_, limit_bytes) && run([] { return 0; }) == 0;
  if (entered) return true;
  rmdir(folder.c_str());
  folder_.clear();
  return false;
}

MemoryGroup::~MemoryGroup() {
  // The kernel needs a moment after the last process of a group ended.
  for (int i = 0; made() && rmdir(folder_.c_str()) != 0 && i < 200; ++i) usleep(10000);
}

void MemoryGroup::set_limit(uint64_t bytes) const {
  write_number(limit_file_, bytes);
}

int MemoryGroup::run(const std::function<int()>& body) const {
  const pid_t child = fork();
  if (child == 0) {
    if (!write_number(folder_ + "/cgroup.procs", static_cast<uint64_t>(getpid()))) _exit(255);
    _exit(body());
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return 255;
  return exit_code_of(status);
}

std::vector<std::string> MemoryGroup::inside(const std::vector<std::string>& arguments) const {
  std::vector<std::string> line = {"/bin/sh", "-c", "echo $$ >\"$0\" && exec \"$@\"",
                                   folder_ + "/cgroup.procs"};
  line.insert(line.end(), arguments.begin(), arguments.end());
  return line;
}

}  // namespace trit
