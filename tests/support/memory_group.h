// A real control group with a memory limit, below the one that the tests run in, for as long as a
// function runs in it. Needs rights that a container or a CI job seldom has: then skip().
#ifndef TRITSTACK_TESTS_SUPPORT_MEMORY_GROUP_H_
#define TRITSTACK_TESTS_SUPPORT_MEMORY_GROUP_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace trit {

class MemoryGroup {
 public:
  explicit MemoryGroup(uint64_t limit_bytes);
  ~MemoryGroup();
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;

  bool made() const { return !folder_.empty(); }
  // "<folder>/memory.limit_in_bytes" or "<folder>/memory.max".
  const std::string& limit_file() const { return limit_file_; }
  void set_limit(uint64_t bytes) const;

  // What `body` returns (0 to 255) in a fork of this process that is in the group, with all it
  // starts; else exit_code_of(). No doctest checks in there.
  int run(const std::function<int()>& body) const;
  // The command line that runs another one in the group.
  std::vector<std::string> inside(const std::vector<std::string>& arguments) const;

 private:
  bool make(const std::string& parent, const char* limit_name, uint64_t limit_bytes);

  std::string folder_, limit_file_;
};

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_MEMORY_GROUP_H_
