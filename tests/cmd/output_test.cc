// Where results go when they cannot go where they should: file size limits, folders that are not
// there, devices, pipes and standard output itself.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/cmd/models.h"
#include "tests/support/process.h"
#include "tests/support/tiny_checkpoint.h"

namespace trit {
namespace {

std::string checkpoint() {
  static const TempDir folder;
  tiny_checkpoint("LlamaForCausalLM", 1).write(folder.folder());
  return folder.folder();
}

TEST_CASE("a file size limit is exit 5 and one line, and leaves nothing behind") {
  const TempDir folder;
  const auto limited = [&](const std::string& arguments) {
    ProcessOptions options;
    options.environment = {"OUT=" + folder.path("out"), "SRC=" + checkpoint(),
                           "MODEL=" + tiny_path(), "TRITSTACK=" + tritstack_path()};
    const ProcessResult result =
        run_process({"/bin/sh", "-c", "ulimit -f 1; exec \"$TRITSTACK\" " + arguments}, options);
    CAPTURE(result.err);
    CHECK(result.exit_code == 5);
    CHECK(result.out.empty());
    CHECK(result.err.find("error: " + folder.path("out") + ": cannot ") != std::string::npos);
    CHECK(result.err.find("File too large") != std::string::npos);
    CHECK(result.err.find("error: ") == result.err.rfind("error: "));
    CHECK(std::filesystem::is_empty(folder.folder()));
  };
  limited("quantize \"$SRC\" -o \"$OUT\"");
  limited("logits -m \"$MODEL\" --tokens 1,2,3,4,5,6,7 -o \"$OUT\"");
}

TEST_CASE("errors name the path that was asked for, not a temporary one") {
  const std::string path = "/nonexist/x";
  const std::string expected = "error: " + path + ": cannot create: No such file";
  check_error({"quantize", checkpoint(), "-o", path}, 5, expected);
  const ProcessResult logits =
      tritstack({"logits", "-m", tiny_path(), "--tokens", "1", "-o", path});
  CHECK(logits.exit_code == 5);
  CHECK(logits.err.find(expected) != std::string::npos);
}

}  // namespace
}  // namespace trit
