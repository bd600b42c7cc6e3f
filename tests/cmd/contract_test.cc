// What every command promises: documented exit codes, one line per error, results alone on stdout,
// JSON that parses, nothing half written. Runs the real binary on a small random model.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "model_format/json.h"
#include "model_format/verify.h"
#include "tests/cmd/models.h"
#include "tests/support/process.h"

namespace trit {
namespace {

void check_json(const std::vector<std::string>& arguments, const std::string& member) {
  const ProcessResult result = tritstack(arguments);
  CAPTURE(arguments);
  CAPTURE(result.err);
  REQUIRE(result.exit_code == 0);
  const auto document = JsonDocument::parse(result.out, "stdout");
  REQUIRE(document.ok());
  CHECK(document.value()->root()[member].exists());
}

TEST_CASE("usage errors exit with 2 and one line that names the nearest") {
  check_error({}, 2, "missing a command");
  check_error({"quantise"}, 2, "quantize");
  check_error({"run", "--tmep", "1"}, 2, "--temp");
  check_error({"chat"}, 2, "missing -m, --model FILE");
  check_error({"verify"}, 2, "missing M");
  check_error({"quantize", "x"}, 2, "missing -o, --output FILE");
  check_error({"quantize", "x", "-o", "y", "--planes", "9"}, 2, "from 1 to 4");
  check_error({"run", "-m", tiny_path()}, 2, "missing -p TEXT");
  check_error({"logits", "-m", tiny_path()}, 2, "--tokens");
  check_error({"run", "-m", tiny_path(), "--planes", "1", "--tokens", "1"}, 2, "plane");
}

TEST_CASE("a list of ids is whole and in range, or the error names its flag and the range") {
  for (const char* list : {"1,x", "100", "-1", "1,,2", ",", ",1", "1,", "1 2,", "", " ", "1;2",
                           "99999999999999999999", "1,1.0"}) {
    CAPTURE(list);
    check_error({"run", "-m", tiny_path(), "--tokens", list}, 2, "--tokens: expected token ids");
    check_error({"logits", "-m", tiny_path(), "--tokens", list}, 2, "from 0 to 99");
    check_error({"tokenize", "-m", tiny_path(), "--decode", list}, 2, "--decode: expected");
  }
  const TempDir folder;
  const std::string file = folder.path("ids.txt");
  write_file(file, "1 2\n100\n");
  check_error({"logits", "-m", tiny_path(), "--tokens-file", file}, 3, "ids.txt: expected");
  CHECK(tritstack({"logits", "-m", tiny_path(), "--tokens", " 1 , 2\t3,0,99 "}).exit_code == 0);
}

TEST_CASE("flags of run that have nothing to do without --chat, or with it, are refused") {
  check_error({"run", "-m", "x", "-p", "x", "-sys", "Be brief."}, 2,
              "-sys and --reasoning go with");
  check_error({"run", "-m", "x", "-p", "x", "--reasoning", "on"}, 2,
              "-sys and --reasoning go with");
  check_error({"run", "-m", "x", "-p", "x", "--chat", "--special"}, 2, "goes without --chat");
}

TEST_CASE("flags that --dense leaves nothing to do are refused, naming both") {
  for (const char* flag : {"--planes", "--head-planes", "--group", "--encoding"}) {
    const char* value = flag == std::string("--encoding") ? "free" : "3";
    check_error({"quantize", "x", "-o", "y", "--dense", "f32", flag, value}, 2, flag);
    check_error({"quantize", "x", "-o", "y", flag, value, "--dense", "bf16"}, 2, "--dense");
  }
}

TEST_CASE("more planes than there are run all, and the line on stderr says so") {
  const auto err = [](const char* planes, const char* head_planes) {
    return tritstack({"logits", "-m", tiny_path(), "--tokens", "1", "--planes", planes,
                      "--head-planes", head_planes})
        .err;
  };
  CHECK(err("3", "4").find("planes 3, head planes 4: ") != std::string::npos);
  CHECK(err("5", "7").find("planes 3 (all there are, 5 asked), head planes 4 (all there are, 7 "
                           "asked): ") != std::string::npos);
}

constexpr const char* kCommands[] = {"quantize", "chat",   "run",        "plan",
                                     "inspect",  "verify", "perplexity", "logits",
                                     "tokenize", "bench",  "doctor"};

TEST_CASE("commands take --verbose, with a model -t too, and --io if they look past its head") {
  for (const std::string command : kCommands) {
    const std::string help = tritstack({command, "--help"}).out;
    CAPTURE(command);
    for (const char* flag : {"  --verbose ", "  -t, --threads ", "  --io ", "  --version "}) {
      CAPTURE(flag);
      const bool io = flag == std::string("  --io "),
                 threads = flag == std::string("  -t, --threads ");
      const bool looks = command != "quantize" && command != "plan" && command != "inspect";
      const bool expected = command == "doctor" ? !io && !threads : looks || !io;
      CHECK((help.find(flag) != std::string::npos) == expected);
    }
  }
  for (const char* command : {"verify", "inspect"}) {
    const ProcessResult plain = tritstack({command, tiny_path()});
    const ProcessResult read = tritstack({command, "-m", tiny_path(), "-t", "2", "--verbose"});
    CHECK(read.exit_code == 0);
    CHECK(read.out == plain.out);
    CHECK(plain.err.empty());
    CHECK(read.err.find("threads 1") != std::string::npos);
  }
  CHECK(tritstack({"verify", tiny_path(), "--io", "read"}).exit_code == 0);
  check_error({"verify", tiny_path(), "--io", "write"}, 2, "--io");
}

TEST_CASE("help and version are results: on stdout, exit 0") {
  for (const char* command : kCommands) {
    const ProcessResult help = tritstack({command, "--help"});
    CAPTURE(command);
    CHECK(help.exit_code == 0);
    CHECK(help.err.empty());
    const size_t examples = help.out.find("examples:"), flags = help.out.find("flags:");
    CHECK(examples < flags);
    CHECK(flags != std::string::npos);
    CHECK(tritstack({"--help"}).out.find(command) != std::string::npos);
    CHECK(tritstack({"help", command}).out == help.out);
  }
  const ProcessResult version = tritstack({"--version"}, {{}, {}, {}, {}, {}, {"TRIT_ISA=scalar"}});
  CHECK(version.exit_code == 0);
  CHECK(version.out.find("kernels scalar\n") != std::string::npos);
  CHECK(version.out.find("format version") != std::string::npos);
  for (const char* command : kCommands) {
    CAPTURE(command);
    CHECK(tritstack({command, "--version"}).out == tritstack({"--version"}).out);
    check_error({command, "--version", "junk"}, 2, "--version goes alone");
  }
  check_error({"--version", "extra", "junk"}, 2, "\"extra\"");
  check_error({"--help", "extra"}, 2, "\"extra\"");
  CHECK(tritstack({"help"}).out == tritstack({"--help"}).out);
  check_error({"help", "help"}, 2, "unexpected argument");
}

TEST_CASE("an unknown kernel level exits with 2 and names those that are there") {
  ProcessOptions options;
  options.environment = {"TRIT_ISA=mmx"};
  check_error({"--version"}, 2, "scalar", options);
  check_error({"verify", tiny_path()}, 2, "scalar", options);
}

TEST_CASE("files that are missing, foreign or damaged exit with 5, 4 and 3") {
  const TempDir folder;
  const std::string bytes = read_file(tiny_path());
  const std::string foreign = folder.path("foreign.trit"), cut = folder.path("cut.trit"),
                    longer = folder.path("longer.trit");
  write_file(foreign, "GGUF" + bytes.substr(4));
  write_file(cut, bytes.substr(0, 2000));
  write_file(longer, bytes + "123456789");
  for (const char* command : {"verify", "inspect"}) {
    check_error({command, folder.path("none.trit")}, 5, "none.trit");
    check_error({command, folder.folder()}, 5, "a folder; tritstack quantize makes");
    check_error({command, foreign}, 4, "magic at offset 0: expected a .trit file (tritstack quant");
    check_error({command, longer}, 3, "9 more after the model");
    check_error({command, cut}, 3, "cut.trit");
  }
  check_error({"run", "-m", folder.path("none.trit"), "--tokens", "1"}, 5, "none.trit");
  check_error({"logits", "-m", foreign, "--tokens", "1"}, 4, "magic");
  check_error({"chat", "-m", cut}, 3, "cut.trit");
  check_error({"quantize", folder.path("none"), "-o", folder.path("x.trit")}, 5, "hf download");
  check_error({"quantize", foreign, "-o", folder.path("x.trit")}, 2, "config.json and *.safetens");
  check_error({"plan", tiny_path(), "--svg", "-"}, 2, "-: standard output is no file");
}

TEST_CASE("verify refuses every cut of a small file and a flip anywhere") {
  const TempDir folder;
  const std::string bytes = read_file(tiny_path()), path = folder.path("bad.trit");
  CHECK(verify_file(tiny_path(), nullptr).ok());
  // Shorter and shorter: every cut of the head's first kilobyte, then about 500 more.
  write_file(path, bytes);
  const size_t step = bytes.size() / 500 + 1;
  for (size_t cut = bytes.size() - 1; cut > 0; cut -= cut > 1024 ? std::min(step, cut) : 1) {
    std::filesystem::resize_file(path, cut);
    const auto report = verify_file(path, nullptr);
    CAPTURE(cut);
    REQUIRE(!report.ok());
    REQUIRE(report.status().code() == Code::kMalformed);
  }
  for (const size_t at : {bytes.size() / 2, bytes.size() - 1, size_t{100}}) {
    std::string flipped = bytes;
    flipped[at] ^= 16;
    write_file(path, flipped);
    check_error({"verify", path}, 3, "bad.trit");
  }
}

TEST_CASE("verify, inspect, logits and run --tokens work without a tokenizer; text does not") {
  const ProcessResult verified = tritstack({"verify", tiny_path()});
  CHECK(verified.exit_code == 0);
  CHECK(verified.out.find("blocks checked") != std::string::npos);
  const ProcessResult inspected = tritstack({"inspect", tiny_path()});
  CHECK(inspected.exit_code == 0);
  CHECK(inspected.out.find("layers.1.down") != std::string::npos);
  CHECK(tritstack({"inspect", tiny_path(), "--sizes"}).out.find("embedding") != std::string::npos);
  const ProcessResult run =
      tritstack({"run", "-m", tiny_path(), "--tokens", "1,2,3", "-n", "4", "--temp", "0"});
  CAPTURE(run.err);
  CHECK(run.exit_code == 0);
  CHECK(std::count(run.out.begin(), run.out.end(), ' ') == 3);
  CHECK(run.out.back() == '\n');
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"tokenize", "-m", tiny_path(), "-p", "x"}, {"run", "-m", tiny_path(), "-p", "x"}}) {
    CHECK(tritstack(arguments).exit_code == 4);
  }
  check_error({"chat", "-m", tiny_path()}, 4, "tokenizer");
}

TEST_CASE("--json is one JSON object and nothing else") {
  check_json({"verify", tiny_path(), "--json"}, "blocks");
  check_json({"inspect", tiny_path(), "--json"}, "matrices");
  check_json({"inspect", tiny_path(), "--json", "--sizes"}, "sizes");
  check_json({"logits", "-m", tiny_path(), "--tokens", "1,2", "--json"}, "hash");
  check_json({"run", "-m", tiny_path(), "--tokens", "1", "-n", "3", "--json"}, "ids");
  check_json({"doctor", "--json"}, "problems");
}

TEST_CASE("a prompt or a completion that does not fit the context exits with 7") {
  const ProcessResult prompt =
      tritstack({"run", "-m", tiny_path(), "--tokens", "1,2,3,4,5", "-c", "4"});
  CHECK(prompt.exit_code == 7);
  CHECK(prompt.out.empty());
  CHECK(prompt.err.find("5 tokens, the context holds 4") != std::string::npos);
  const ProcessResult full = tritstack(
      {"run", "-m", tiny_path(), "--tokens", "1,2", "-c", "6", "--temp", "0", "--ignore-eos"});
  CHECK(full.exit_code == 7);
  CHECK(std::count(full.out.begin(), full.out.end(), ' ') == 3);
  CHECK(tritstack({"logits", "-m", tiny_path(), "--tokens", "1,2,3", "-c", "2"}).exit_code == 7);
}

TEST_CASE("standard output that cannot be written exits with 5") {
  if (access("/dev/full", W_OK) == 0) {
    ProcessOptions full;
    full.output_path = "/dev/full";
    for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
             {"--help"},
             {"inspect", tiny_path()},
             {"run", "-m", tiny_path(), "--tokens", "1", "-n", "3"}}) {
      const ProcessResult result = tritstack(arguments, full);
      CHECK(result.exit_code == 5);
      CHECK(result.err.find("standard output") != std::string::npos);
    }
  }
  ProcessOptions closed;
  closed.closed = {0, 1};
  CHECK(tritstack({"inspect", tiny_path()}, closed).exit_code == 5);
}

TEST_CASE("logits are written whole, as f32, and their hash does not depend on threads or chunks") {
  const TempDir folder;
  const std::string path = folder.path("logits.f32"), ids = folder.path("ids.txt");
  write_file(ids, "1 2\n3\t4 5 6 7\n");
  const auto hash = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"logits", "-m", tiny_path()});
    const ProcessResult result = tritstack(flags);
    CAPTURE(result.err);
    CHECK(result.exit_code == 0);
    CHECK(result.out.size() == 17);
    return result.out;
  };
  const std::string expected = hash({"--tokens", "1,2,3,4,5,6,7", "-o", path});
  CHECK(read_file(path).size() == 7 * 100 * 4);
  CHECK(hash({"--tokens-file", ids, "-t", "1", "-ub", "1"}) == expected);
  CHECK(hash({"--tokens-file", ids, "-t", "3", "-ub", "3"}) == expected);
  CHECK(hash({"--tokens-file", ids, "-t", "2", "--io", "read", "--verify", "full"}) == expected);
  check_error({"logits", "-m", tiny_path(), "--tokens", "1", "-o", folder.path("no/where")}, 5,
              "where");
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.folder()))
    ++files;
  CHECK(files == 2);
}

TEST_CASE("an interrupted run exits with 130") {
  const TempDir folder;
  const std::string fifo = folder.path("fifo");
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  ProcessOptions options;
  options.input_path = fifo;
  Process run({tritstack_path(), "logits", "-m", tiny_path(), "--tokens-file", "-"}, options);
  usleep(200000);
  CHECK(run.running());
  run.send(SIGINT);
  CHECK(run.wait().exit_code == 130);
}

}  // namespace
}  // namespace trit
