// See skip.h.
#include "tests/support/skip.h"

#include <sys/stat.h>

#include <cstdlib>

namespace trit {

std::string& skip_reason() {
  static std::string reason;
  return reason;
}

void skip(const std::string& why) {
  skip_reason() = why;
}

std::string shared_data() {
  const char* named = std::getenv("TRIT_SHARED_DATA");
  const std::string path = named ? named : "../shared/data";
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) ? path : std::string();
}

}  // namespace trit
