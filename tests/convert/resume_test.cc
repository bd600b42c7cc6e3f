// A run that was interrupted goes on at the next tensor, to the bytes of one that was not; what is
// not of the same run, or not whole, is made anew. With calibration: tests/cmd/calibrate_test.cc.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "model_format/convert/converter.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_checkpoint.h"

namespace trit {
namespace {

struct Run {
  TempDir dir;
  QuantizeOptions options;
  std::vector<std::string> notes;
  std::string partial = dir.path("out.trit.partial");

  Run() {
    tiny_checkpoint("Qwen2ForCausalLM", 1).write(dir.path("hf"));
    options.source = dir.path("hf");
    options.output = dir.path("out.trit");
    options.group = 20;
    options.note = [this](const std::string& line) { notes.push_back(line); };
  }

  // Calls `at` when the run has come to a stage; what it returns ends the run.
  Code run_to(const std::string& stop, const std::function<bool()>& at) {
    std::atomic<bool> cancel{false};
    const auto progress = [&](const std::string& stage, uint64_t, uint64_t) {
      if (stage == stop) cancel = at();
    };
    notes.clear();
    return quantize(options, progress, cancel).status().code();
  }
  Code interrupt(const std::string& stage) {
    return run_to(stage, [] { return true; });
  }
  void kill_at(const std::string& stage) {
    const pid_t child = fork();
    if (child == 0) {
      run_to(stage, [] { return kill(getpid(), SIGKILL) == 0; });
      _exit(1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
  }
  // The output, which goes; nothing else is left beside the source.
  std::string finish() {
    REQUIRE(run_to("", [] { return true; }) == Code::kOk);
    CHECK_FALSE(std::filesystem::exists(partial));
    const std::string bytes = read_file(options.output);
    std::filesystem::remove(options.output);
    return bytes;
  }
  bool noted(const std::string& text) const {
    for (const std::string& line : notes)
      if (line.find(text) != std::string::npos) return true;
    return false;
  }
};

}  // namespace

TEST_CASE("wherever a run is interrupted or killed, the next one goes on to the same bytes") {
  Run run;
  const std::string whole = run.finish();
  for (const std::string stage : {"layers.0.k", "layers.0.down", "layers.1.o", "embedding"}) {
    CAPTURE(stage);
    CHECK(run.interrupt(stage) == Code::kCancelled);
    CHECK_FALSE(std::filesystem::exists(run.options.output));
    CHECK(std::filesystem::exists(run.partial));
    CHECK(run.finish() == whole);
    CHECK(run.noted("going on after"));
    run.kill_at(stage);
    run.kill_at("embedding");
    CHECK(run.finish() == whole);
    CHECK(run.noted("going on after"));
    CHECK_FALSE(run.noted("made anew"));
  }
  run.interrupt("layers.1.o");
  run.options.source += "/.";
  CHECK(run.finish() == whole);
  CHECK(run.noted("going on after"));
  run.kill_at("writing");
  CHECK(run.finish() == whole);
  CHECK(run.noted("going on after 15 finished"));
}

TEST_CASE("nothing is kept of a run that finished no tensor, copies or met bad weights") {
  Run run;
  CHECK(run.interrupt("reading") == Code::kCancelled);
  CHECK_FALSE(std::filesystem::exists(run.partial));
  run.options.encoding = Encoding::kDenseF32;
  CHECK(run.interrupt("layers.1.o") == Code::kCancelled);
  CHECK_FALSE(std::filesystem::exists(run.partial));
  run.options.encoding = Encoding::kTied;
  TinyCheckpoint bad = tiny_checkpoint("Qwen2ForCausalLM", 1);
  bad.tensor("model.layers.1.mlp.up_proj.weight").bytes.replace(0, 4, "\0\0\xc0\x7f", 4);
  bad.write(run.options.source);
  CHECK(run.interrupt("") == Code::kMalformed);
  CHECK_FALSE(std::filesystem::exists(run.partial));
}

TEST_CASE("other options, or a source that changed, begin anew with force only, and say so") {
  Run run;
  run.options.planes = 2;
  const std::string two = run.finish();
  run.options.planes = 3;
  run.interrupt("layers.1.o");
  const auto begin_anew = [&] {
    const std::string before = read_file(run.partial);
    CHECK(run.interrupt("") == Code::kUsage);
    CHECK(read_file(run.partial) == before);
    run.options.force = true;
    const std::string bytes = run.finish();
    run.options.force = false;
    CHECK(run.noted("made anew"));
    CHECK_FALSE(run.noted("going on"));
    return bytes;
  };
  run.options.planes = 2;
  CHECK(begin_anew() == two);
  run.interrupt("layers.1.o");
  tiny_checkpoint("Qwen2ForCausalLM", 2).write(run.options.source);
  const std::string other = begin_anew();
  CHECK(other == run.finish());
  CHECK(other != two);
}

TEST_CASE("damage anywhere in the partial file costs time and changes nothing") {
  Run run;
  const std::string whole = run.finish();
  run.interrupt("layers.1.o");
  const std::string partial = read_file(run.partial);
  const auto again = [&](const std::string& bytes) {
    write_file(run.partial, bytes);
    CHECK(run.finish() == whole);
  };
  again("");
  constexpr size_t kStart = 16;  // damaged there, it is not of this run
  again(partial.substr(0, partial.size() / 2));
  again(partial + "x");
  again(partial.substr(0, kStart) + std::string(partial.size() - kStart, '\xff'));
  for (size_t at = kStart; at < partial.size(); at += at < 400 ? 3 : partial.size() / 20) {
    CAPTURE(at);
    std::string flipped = partial;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    again(flipped);
  }
}

TEST_CASE("a partial file that is a link, no file, not ours or in use is left alone") {
  Run run;
  run.options.force = true;
  const auto refused = [&](Code code) {
    CHECK(run.interrupt("") == code);
    CHECK_FALSE(std::filesystem::exists(run.options.output));
  };
  write_file(run.dir.path("precious"), "mine");
  REQUIRE(symlink(run.dir.path("precious").c_str(), run.partial.c_str()) == 0);
  refused(Code::kIo);
  CHECK(read_file(run.dir.path("precious")) == "mine");
  std::filesystem::remove(run.partial);
  REQUIRE(mkfifo(run.partial.c_str(), 0600) == 0);
  refused(Code::kUsage);
  std::filesystem::remove(run.partial);
  for (const std::string mine : {"mine", "mine, and longer than the start of ours"}) {
    write_file(run.partial, mine);
    refused(Code::kUsage);
    CHECK(read_file(run.partial) == mine);
  }
  std::filesystem::remove(run.partial);
  run.interrupt("layers.1.o");
  const std::string before = read_file(run.partial);
  const int other = open(run.partial.c_str(), O_RDONLY);
  REQUIRE(flock(other, LOCK_EX) == 0);
  refused(Code::kUsage);
  close(other);
  CHECK(read_file(run.partial) == before);
  run.finish();
}

}  // namespace trit
