// A model's file that is cut while a command uses it: one line that names the file, exit 5, and no
// signal, wherever the cut is.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/cmd/models.h"
#include "tests/support/process.h"

namespace trit {
namespace {

TEST_CASE("a file cut between two answers of a chat ends it with one line and exit 5") {
  const TempDir folder;
  const std::string path = folder.path("demo.trit"), bytes = read_file(kDemo);
  for (const size_t size : {bytes.size() - 1, bytes.size() / 2, size_t{0}}) {
    CAPTURE(size);
    write_file(path, bytes);
    const std::string fifo = folder.path("fifo" + std::to_string(size));
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    ProcessOptions options;
    options.input_path = fifo;
    Process chat({tritstack_path(), "chat", "-m", path, "-n", "8", "-c", "128"}, options);
    const int lines = open(fifo.c_str(), O_RDWR);
    const std::string question = "Once upon a time\n";
    REQUIRE(write(lines, question.data(), question.size()) == ssize_t(question.size()));
    REQUIRE(chat.wait_for_output("\n"));
    std::filesystem::resize_file(path, size);
    REQUIRE(write(lines, question.data(), question.size()) == ssize_t(question.size()));
    const ProcessResult result = chat.wait();
    close(lines);
    CHECK(result.exit_code == 5);
    const size_t error = result.err.find("tritstack: error: ");
    REQUIRE(error != std::string::npos);
    CHECK(result.err.substr(error) ==
          "tritstack: error: " + path + ": cut short or unreadable while it was in use\n");
  }
}

}  // namespace
}  // namespace trit
