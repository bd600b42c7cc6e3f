// A machine that we do not have, as files below /proc and /sys of a folder of its own: the `root`
// of runtime/linux_files.h.
#ifndef TRITSTACK_TESTS_SUPPORT_MACHINE_H_
#define TRITSTACK_TESTS_SUPPORT_MACHINE_H_

#include <filesystem>
#include <string>

#include "tests/support/temp_dir.h"

namespace trit {

class Machine {
 public:
  const std::string& root() const { return root_.folder(); }
  // The text and a line end at `path`, which has no leading slash.
  void file(const std::string& path, const std::string& text) {
    const std::string full = root_.path(path);
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    // As a whole, like the kernel's: a reader never sees half of it.
    write_file(full + ".new", text + "\n");
    std::filesystem::rename(full + ".new", full);
  }

 private:
  TempDir root_;
};

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_MACHINE_H_
