// Where results go when they cannot go where they should: file size limits, folders that are not
// there, devices, pipes and standard output itself.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
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

TEST_CASE("no output takes the place of an input") {
  const TempDir folder;
  const std::string other = folder.path("other");
  write_file(other, "1,2,3");
  check_error({"logits", "-m", kDemo, "--tokens-file", other, "-o", other}, 2, "is the list");
  check_error({"quantize", checkpoint(), "--calibrate", other, "-o", other, "--force"}, 2,
              "is the text of --calibrate");
  check_error({"bench", "--config", other, "--save", other, "--force"}, 2, "is the --config");
  CHECK(read_file(other) == "1,2,3");
  const std::string model = folder.path("m.trit");
  write_file(model, read_file(kDemo));
  check_error({"plan", model, "--svg", model}, 2, "is the model");
  check_error({"logits", "-m", model, "--tokens", "1", "-o", model}, 2, "is the model");
  CHECK(read_file(model) == read_file(kDemo));
}

ProcessResult logits(const std::string& path, const ProcessOptions& options = {}) {
  return tritstack({"logits", "-m", tiny_path(), "--tokens", "1,2,3", "-o", path}, options);
}

TEST_CASE("logits go straight to devices, pipes and links, and replace a regular file whole") {
  const TempDir folder;
  const std::string file = folder.path("a.f32"), link = folder.path("b"), fifo = folder.path("c");
  write_file(file, "old");
  const ProcessResult whole = logits(file);
  CHECK(whole.exit_code == 0);
  const std::string bytes = read_file(file);
  CHECK(bytes.size() == 3 * 100 * 4);

  const ProcessResult null = logits("/dev/null");
  CHECK(null.exit_code == 0);
  CHECK(null.out == whole.out);
  struct stat info;
  CHECK((stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode)));
  if (access("/dev/full", W_OK) == 0) {
    const ProcessResult full = logits("/dev/full");
    CHECK(full.exit_code == 5);
    CHECK(full.out.empty());
    CHECK(full.err.find("error: /dev/full: cannot write: ") != std::string::npos);
  }

  REQUIRE(symlink("target.f32", link.c_str()) == 0);
  CHECK(logits(link).exit_code == 0);
  CHECK(std::filesystem::is_symlink(link));
  CHECK(read_file(folder.path("target.f32")) == bytes);

  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  const int reader = open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
  CHECK(logits(fifo).exit_code == 0);
  std::string piped(bytes.size() + 1, '\0');
  CHECK(read(reader, piped.data(), piped.size()) == static_cast<ssize_t>(bytes.size()));
  piped.pop_back();
  CHECK(piped == bytes);
  close(reader);
}

TEST_CASE("logits on standard output, by whatever name, leave their hash to standard error") {
  const TempDir folder;
  const std::string file = folder.path("a.f32");
  const ProcessResult hash = logits(file);
  for (const char* name : {"-", "/dev/stdout", "/dev/fd/1"}) {
    CAPTURE(name);
    const ProcessResult result = logits(name);
    CHECK(result.exit_code == 0);
    CHECK(result.out == read_file(file));
    CHECK(result.err.find("tritstack: hash " + hash.out) != std::string::npos);
  }
  const ProcessResult json =
      tritstack({"logits", "-m", tiny_path(), "--tokens", "1", "-o", "-", "--json"});
  CHECK(json.exit_code == 2);
  CHECK(json.out.empty());
}

TEST_CASE("an output that waits for a reader can be interrupted") {
  const TempDir folder;
  const std::string fifo = folder.path("fifo");
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  Process waiting({tritstack_path(), "logits", "-m", tiny_path(), "--tokens", "1", "-o", fifo});
  usleep(200000);
  CHECK(waiting.running());
  waiting.send(SIGINT);
  CHECK(waiting.wait().exit_code == 130);
}

TEST_CASE("quantize --force refuses devices and links to them") {
  const TempDir folder;
  const std::string link = folder.path("link");
  REQUIRE(symlink("/dev/null", link.c_str()) == 0);
  check_error({"quantize", checkpoint(), "-o", link, "--force"}, 2, "not a regular file");
  check_error({"quantize", checkpoint(), "-o", "/dev/null", "--force"}, 2, "not a regular file");
  CHECK(std::filesystem::is_symlink(link));
}

}  // namespace
}  // namespace trit
