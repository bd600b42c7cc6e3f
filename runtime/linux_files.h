// How Linux tells about this process and its machine: text files below /proc and /sys. Here: their
// few forms, and where the limits of this process's control groups stand. A file that is not there
// says nothing. `root` is a prefix of every path: "" for this machine, a folder for a test. Not
// here: what the answers mean (available_memory.h, default_threads.h).
#ifndef TRITSTACK_RUNTIME_LINUX_FILES_H_
#define TRITSTACK_RUNTIME_LINUX_FILES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trit {

std::string first_line(const std::string& path);

// A number alone in its file. Empty for anything else: "max", which means no limit.
std::optional<uint64_t> file_number(const std::string& path);

// The text behind `key` at the start of a line: "model name  : ...". "" without such a line.
std::string keyed_text(const std::string& path, const std::string& key);

// The number behind `key` so: "inactive_file 4096", "MemAvailable:  12 kB" (in
// bytes then: kB counts 1024), "Max address space  65536  ...".
std::optional<uint64_t> keyed_number(const std::string& path, const std::string& key);

// "0-3,8".
std::vector<uint32_t> cpu_list(const std::string& path);

// The folders in which the limits of one controller ("cpu", "memory") on this process may stand,
// of either version: its own group first, then each one above it. In a container the path known to
// the process may be that of the host, where only the last folder exists.
std::vector<std::string> cgroup_folders(const std::string& root, const std::string& controller);

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_LINUX_FILES_H_
