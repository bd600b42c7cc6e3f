// See models.h.
#include "tests/cmd/models.h"

#include <doctest/doctest.h>

#include <map>

#include "tests/support/skip.h"
#include "tests/support/tiny_model.h"

namespace trit {

namespace {

// Exactly one line, and it is an error.
bool is_one_error(const std::string& err) {
  return err.rfind("tritstack: error: ", 0) == 0 && err.find('\n') == err.size() - 1;
}

}  // namespace

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

const std::string& tiny_path() {
  static const TempDir folder;
  static const std::string path = folder.path("tiny.trit");
  if (read_file(path).empty()) {
    TinyModel model;
    model.config = tiny_config();
    REQUIRE(write_tiny_model(path, model).ok());
  }
  return path;
}

void check_error(const std::vector<std::string>& arguments, int exit_code, const std::string& part,
                 const ProcessOptions& options) {
  const ProcessResult result = tritstack(arguments, options);
  CAPTURE(arguments);
  CAPTURE(result.err);
  CHECK(result.exit_code == exit_code);
  CHECK(is_one_error(result.err));
  CHECK(result.err.find(part) != std::string::npos);
  CHECK(result.out.empty());
}

std::string budget_named_in(const std::string& err) {
  const std::string before = "expected at least ";
  REQUIRE(err.find(before) != std::string::npos);
  const size_t number = err.find(before) + before.size();
  return err.substr(number, err.find(' ', number) - number);
}

}  // namespace trit
