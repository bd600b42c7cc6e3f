// A fresh folder that disappears with its owner, and two helpers to read and write whole files.
#ifndef TRITSTACK_TESTS_SUPPORT_TEMP_DIR_H_
#define TRITSTACK_TESTS_SUPPORT_TEMP_DIR_H_

#include <string>
#include <string_view>

namespace trit {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

std::string read_file(const std::string& path);  // "" when it cannot be read
void write_file(const std::string& path, std::string_view bytes);

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_TEMP_DIR_H_
