// See linux_files.h.
#include "runtime/linux_files.h"

#include <cstdlib>
#include <fstream>

namespace trit {

std::string first_line(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::optional<uint64_t> file_number(const std::string& path) {
  const std::string line = first_line(path);
  if (line.empty() || line[0] < '0' || line[0] > '9') return {};
  return std::strtoull(line.c_str(), nullptr, 10);
}

std::string keyed_text(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const size_t begin = line.find_first_not_of(" \t:", key.size());
    // A longer key that begins with this one is another.
    if (begin != std::string::npos && begin > key.size()) return line.substr(begin);
  }
  return "";
}

std::optional<uint64_t> keyed_number(const std::string& path, const std::string& key) {
  const std::string text = keyed_text(path, key);
  if (text.empty() || text[0] < '0' || text[0] > '9') return {};
  char* end = nullptr;
  const uint64_t number = std::strtoull(text.c_str(), &end, 10);
  return std::string(end) == " kB" ? number * 1024 : number;
}

std::vector<uint32_t> cpu_list(const std::string& path) {
  std::vector<uint32_t> cpus;
  const std::string line = first_line(path);
  for (const char* at = line.c_str(); *at >= '0' && *at <= '9';) {
    char* end = nullptr;
    const uint64_t first = std::strtoul(at, &end, 10);
    const uint64_t last = *end == '-' ? std::strtoul(end + 1, &end, 10) : first;
    for (uint64_t cpu = first; cpu <= last && cpus.size() < UINT16_MAX; ++cpu)
      cpus.push_back(static_cast<uint32_t>(cpu));
    at = *end == ',' ? end + 1 : end;
  }
  return cpus;
}

std::vector<std::string> cgroup_folders(const std::string& root, const std::string& controller) {
  std::vector<std::string> folders;
  // Lines "id:controllers:/path"; version 2 has the one without controllers.
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t begin = line.find(':') + 1;
    const size_t end = line.find(':', begin);
    if (begin == 0 || end == std::string::npos || line.compare(end, 2, ":/") != 0) continue;
    const std::string controllers = line.substr(begin, end - begin);
    std::vector<std::string> mounts = {"", "/unified"};  // of version 2: alone, beside version 1
    if (!controllers.empty()) {
      if (("," + controllers + ",").find("," + controller + ",") == std::string::npos) continue;
      mounts = {"/" + controllers};
      if (controllers != controller) mounts.push_back("/" + controller);
    }
    for (const std::string& mount : mounts) {
      std::string path = line.substr(end + 1);
      while (!path.empty()) {
        if (path.back() != '/') folders.push_back(root + "/sys/fs/cgroup" + mount + path);
        path.resize(path.rfind('/'));
      }
      folders.push_back(root + "/sys/fs/cgroup" + mount);
    }
  }
  return folders;
}

}  // namespace trit
