// Commands in a budget: --memory, --force, and changes in the middle of a conversation.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "model_format/json.h"
#include "model_format/reader.h"
#include "tests/cmd/models.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// What plan says of the demo with these flags.
uint64_t planned(const char* member, std::vector<std::string> flags) {
  flags.insert(flags.begin(), {"plan", kDemo, "--json"});
  const std::string json = tritstack(flags).out;
  const auto document = JsonDocument::parse(json, "stdout");
  REQUIRE(document.ok());
  return *document.value()->root()[member].unsigned_integer();
}

// Between the base and all planes.
std::string middle_budget(const std::vector<std::string>& flags) {
  std::vector<std::string> wide = flags;
  wide.insert(wide.end(), {"--memory", "1G"});
  const uint64_t least = planned("smallest_bytes", wide);
  return std::to_string(least + (400 << 10));
}

ProcessResult chat(const std::string& input, std::vector<std::string> flags = {}) {
  flags.insert(flags.begin(), {"chat", "-m", kDemo, "--temp", "0", "-n", "48"});
  ProcessOptions options;
  options.input = input;
  return tritstack(flags, options);
}

TEST_CASE("--memory runs the planes that fit, and says so in one line") {
  if (kSanitized) return skip("a sanitizer has memory of its own");
  const std::vector<std::string> arguments = {"run", "-m", kDemo,    "-p", "Once",
                                              "-n",  "4",  "--temp", "0",  "--memory"};
  const auto run = [&](const std::string& size) {
    std::vector<std::string> all = arguments;
    all.push_back(size);
    return tritstack(all);
  };
  const ProcessResult whole = run("1G"), part = run(middle_budget({}));
  CAPTURE(part.err);
  CHECK(whole.exit_code == 0);
  CHECK(whole.err.find("planes 3, head planes 4: context 256") != std::string::npos);
  CHECK(whole.err.find(" of 1024.0 MiB\n") != std::string::npos);
  CHECK(part.exit_code == 0);
  CHECK(part.err.find("planes 2-3, head planes 3, ") != std::string::npos);
  CHECK(part.err.find(" of 88 blocks: context 256") != std::string::npos);
  CHECK(std::count(part.err.begin(), part.err.end(), '\n') == 2);
}

TEST_CASE("without flags the budget is what is free, and a flag that repeats it is named") {
  const std::vector<std::string> arguments = {"run", "-m", kDemo, "-p", "Once", "-n", "4"};
  const auto err = [&](const std::vector<std::string>& flags) {
    std::vector<std::string> all = arguments;
    all.insert(all.end(), flags.begin(), flags.end());
    const ProcessResult result = tritstack(all);
    CAPTURE(result.err);
    CHECK(result.exit_code == 0);
    return result.err;
  };
  const std::string automatic = err({});
  CAPTURE(automatic);
  const size_t flag = automatic.find("(--memory ");
  REQUIRE(flag != std::string::npos);
  CHECK(automatic.find("), seven eighths of ", flag) != std::string::npos);
  const std::string number = automatic.substr(flag + 10, automatic.find(')', flag) - flag - 10);
  const std::string budget = automatic.substr(0, automatic.find(" (--memory "));
  CHECK(err({"--memory", number}).find(budget) == 0);
  CHECK(err({"--memory", "auto", "--no-pressure"}).find("(--memory ") != std::string::npos);
  // What pins the planes sets no budget.
  CHECK(err({"--planes", "2"}).find("memory") == std::string::npos);
  CHECK(err({"--head-planes", "3"}).find("memory") == std::string::npos);
}

TEST_CASE("a limit of the address space binds the automatic budget") {
  if (kSanitized) return skip("a sanitizer has memory of its own");
  const std::string line =
      "ulimit -v 600000; exec " + tritstack_path() + " run -m " + kDemo + " -p Once -n 4";
  const ProcessResult limited = run_process({"/bin/sh", "-c", line});
  CAPTURE(limited.err);
  CHECK(limited.exit_code == 0);
  CHECK(limited.err.find(" in RLIMIT_AS - ") != std::string::npos);
}

TEST_CASE("too little memory exits with 6 and the least that works; --force runs all the same") {
  const std::vector<std::vector<std::string>> commands = {
      {"run", "-m", kDemo, "-p", "x", "-n", "2"},
      {"chat", "-m", kDemo},
      {"logits", "-m", kDemo, "--tokens", "1,2"}};
  for (std::vector<std::string> arguments : commands) {
    arguments.insert(arguments.end(), {"--memory", "2M"});
    check_error(arguments, 6, "memory: expected at least ");
    arguments.push_back("--force");
    const ProcessResult forced = tritstack(arguments);
    CAPTURE(forced.err);
    CHECK(forced.exit_code == 0);
    CHECK(forced.err.find(" of 2.00 MiB: too little, so slow, ") != std::string::npos);
  }
  // A context that does not fit beside the base is refused too: -c is never reduced.
  const std::string budget = middle_budget({"-c", "16"});
  check_error({"run", "-m", kDemo, "-p", "x", "-c", "200000", "--memory", budget}, 6,
              "; a smaller -c or -ctk q8_0");
  check_error({"run", "-m", kDemo, "-p", "x", "--memory", "0"}, 2, "a size such as 700M");
  const std::string large =
      tritstack({"run", "-m", kDemo, "-p", "x", "-c", "10000000", "--memory", "512M"}).err;
  CHECK(large.find(", cache 19.1 GiB, ") != std::string::npos);
  CHECK(large.find("found 512.0 MiB; ") != std::string::npos);
}

TEST_CASE("--planes pins: in a budget that they do not fit, exit 6 with what they need") {
  const std::vector<std::string> run = {"run",
                                        "-m",
                                        kDemo,
                                        "-p",
                                        "x",
                                        "-n",
                                        "2",
                                        "-c",
                                        "64",
                                        "--memory",
                                        middle_budget({"-c", "64"})};
  const auto with = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), run.begin(), run.end());
    return flags;
  };
  CHECK(tritstack(run).exit_code == 0);
  for (const auto& flags : std::vector<std::vector<std::string>>{
           {"--planes", "3"}, {"--planes", "9"}, {"--head-planes", "4"}})
    check_error(with(flags), 6, "--planes and --head-planes pin");
  const std::string enough =
      budget_named_in(tritstack(with({"--planes", "3", "--memory", "2M"})).err);
  const ProcessResult fits = tritstack(with({"--planes", "3", "--memory", enough}));
  CHECK(fits.err.find("planes 3, head planes 4: ") != std::string::npos);
  const ProcessResult forced = tritstack(with({"--planes", "3", "--force"}));
  CHECK(forced.err.find("planes 3, head planes 4: ") != std::string::npos);
  CHECK(forced.err.find(": too little, so slow, ") != std::string::npos);
  const ProcessResult base = tritstack(with({"--planes", "2", "--head-planes", "3"}));
  CHECK(base.err.find("planes 2, head planes 3: ") != std::string::npos);
}

TEST_CASE("what a command needs for itself is part of the budget") {
  if (kSanitized) return skip("a sanitizer has memory of its own");
  const std::string budget = middle_budget({});
  const auto blocks = [&](const std::string& ids) {
    const ProcessResult result =
        tritstack({"logits", "-m", kDemo, "--tokens", ids, "--memory", budget});
    CAPTURE(result.err);
    CHECK(result.exit_code == 0);
    const size_t at = result.err.find("head planes 3, ");
    REQUIRE(at != std::string::npos);
    return std::stoi(result.err.substr(at + 15));
  };
  std::string many = "1";
  for (int i = 0; i < 12; ++i) many += ",1";
  CHECK(blocks(many) < blocks("1") - 3);  // 12 * 4096 logits: 192 KiB
}

TEST_CASE("a text and what tokenizing it takes are part of the budget") {
  if (kSanitized) return skip("a sanitizer has memory of its own");
  const TempDir dir;
  std::string text;
  while (text.size() < 600000) text += "Once upon a time there was a small bird. ";
  write_file(dir.path("long.txt"), text);
  const std::vector<std::string> score = {"perplexity",         "-m",       kDemo, "-f",
                                          dir.path("long.txt"), "--chunks", "1",   "--memory"};
  const auto with = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), score.begin(), score.end());
    return flags;
  };
  const std::string err = tritstack(with({"20M"})).err;  // 34 bytes a byte: no room for the model
  CHECK(tritstack(with({budget_named_in(err)})).exit_code == 0);
  CHECK(std::stoull(budget_named_in(err)) > 34 * text.size());
  check_error(with({"8M"}), 6, "expected less than 263");
  CHECK(tritstack(with({"13M", "--bytes", "50K"})).exit_code == 0);
  check_error({"run", "-m", kDemo, "-f", "/dev/zero", "--memory", "12M"}, 6, "expected less than ");
  check_error({"run", "-m", kDemo, "-f", dir.path("long.txt"), "--memory", "32M"}, 7,
              "the context holds 256");
}

TEST_CASE("/planes and /memory take effect in the middle of a conversation, which goes on") {
  const std::string question = "Tell me a story about a dog.\n";
  const std::string two = chat(question, {"--planes", "2"}).out, all = chat(question).out;
  CHECK(two != all);
  const ProcessResult changed =
      chat("/planes 2\n" + question + "/planes 3\n/clear\n" + question + "/stats\n");
  CAPTURE(changed.err);
  CHECK(changed.exit_code == 0);
  CHECK(changed.out == two + all);
  CHECK(changed.err.find("planes 2, head planes 4; memory ") != std::string::npos);
  CHECK(changed.err.find("planes 3, head planes 4; memory ") != std::string::npos);
  // Without /clear the first answer stays in the cache.
  const std::string budget = middle_budget({});
  const ProcessResult less = chat(question + "/memory " + budget + "\n/stats\n" + question +
                                  "/memory 1G\n" + question + "/stats\n");
  CAPTURE(less.err);
  CHECK(less.exit_code == 0);
  CHECK(less.out.substr(0, all.size()) == all);
  CHECK(less.out != all + all + all);
  if (!kSanitized) CHECK(less.err.find(" of 88 blocks; memory ") != std::string::npos);
  CHECK(less.err.find(" of 1024.0 MiB\n") != std::string::npos);
}

TEST_CASE("/memory and /planes that cannot be done say why and change nothing") {
  const std::string question = "Tell me a story about a dog.\n";
  CHECK(chat("/memory auto\n").err.find("planes 3, head planes 4; memory ") != std::string::npos);
  const ProcessResult refused =
      chat("/memory 1M\n/memory many\n/memory\n/planes 1\n/planes x\n/planes 0\n" + question);
  CAPTURE(refused.err);
  CHECK(refused.exit_code == 0);
  CHECK(refused.out == chat(question).out);
  CHECK(refused.err.find("memory: expected at least ") != std::string::npos);
  CHECK(refused.err.find("found 'many'") != std::string::npos);
  CHECK(refused.err.find("planes: expected at least 2") != std::string::npos);
  CHECK(refused.err.find("found 'x'") != std::string::npos);
  CHECK(refused.err.find("found '0'") != std::string::npos);
}

TEST_CASE("planes that a download has brought meanwhile join with /memory, or by themselves") {
  for (const bool asked : {true, false}) {
    const TempDir folder;
    const std::string path = folder.path("growing.trit"), fifo = folder.path("input");
    const std::string whole = read_file(kDemo);
    const auto reader = ModelReader::open(kDemo);
    REQUIRE(reader.ok());
    write_file(path, whole.substr(0, reader->base_end()));
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    ProcessOptions options;
    options.input_path = fifo;
    Process talk({tritstack_path(), "chat", "-m", path, "--temp", "0", "-n", "48"}, options);
    {
      std::ofstream input(fifo);
      CHECK(talk.wait_for_error("59 of 88 blocks are here"));
      input << "Tell me a story about a dog.\n" << std::flush;
      CHECK(talk.wait_for_output("\n"));
      std::ofstream(path, std::ios::binary | std::ios::app) << whole.substr(reader->base_end());
      if (asked) input << "/memory 1G\n" << std::flush;
      CHECK(talk.wait_for_error(asked ? "planes 3, head planes 4; memory "
                                      : "the file has grown: planes 3, head planes 4; memory "));
      input << "/clear\nTell me a story about a dog.\n/exit\n" << std::flush;
    }
    const ProcessResult result = talk.wait();
    CHECK(result.exit_code == 0);
    CHECK(result.out ==
          chat("Tell me a story about a dog.\n", {"--planes", "2", "--head-planes", "3"}).out +
              chat("Tell me a story about a dog.\n").out);
  }
}

}  // namespace
}  // namespace trit
