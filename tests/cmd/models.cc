// See models.h.
#include "tests/cmd/models.h"

#include <doctest/doctest.h>

#include <map>

#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {

std::string stories260k(const std::vector<std::string>& flags) {
  static const TempDir folder;
  static std::map<std::vector<std::string>, std::string> made;
  if (shared_data().empty()) return "";
  std::string& path = made[flags];
  if (!path.empty()) return path;
  path = folder.path(std::to_string(made.size()) + ".trit");
  std::vector<std::string> arguments = {"quantize", shared_data() + "/models/stories260K-hf", "-o",
                                        path};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const ProcessResult result = tritstack(arguments);
  CAPTURE(result.err);
  REQUIRE(result.exit_code == 0);
  return path;
}

}  // namespace trit
