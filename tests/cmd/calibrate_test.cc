// quantize --calibrate from outside: what it promises on trained models, and what it refuses.
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "model_format/json.h"
#include "tests/support/comparison.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

// Four windows of text, of which two are used to calibrate and two to compare.
std::vector<std::string> calibrate_command(const TempDir& texts, const std::string& output,
                                           std::vector<std::string> flags = {}) {
  const std::string text = read_file(shared_data() + "/corpora/tinystories.calib.txt");
  std::ofstream(texts.path("text"), std::ios::binary) << text.substr(0, 18000);
  flags.insert(flags.begin(),
               {tritstack_path(), "quantize", shared_data() + "/models/stories260K-hf", "-o",
                output, "--calibrate", texts.path("text"), "--calibrate-tokens", "4096"});
  return flags;
}

ProcessResult calibrate(const TempDir& texts, const std::string& output,
                        std::vector<std::string> flags = {}) {
  return run_process(calibrate_command(texts, output, std::move(flags)));
}

// Whether a partial file (partial_file.cc) holds that matrix whole.
bool holds(const std::string& partial, size_t matrix) {
  const std::string bytes = read_file(partial);
  const size_t hash = 16 + 24 * matrix + 16;
  return bytes.size() > hash + 8 && bytes.substr(hash, 8) != std::string(8, '\0');
}

double number(JsonValue object, const char* key) {
  return object[key].number();
}

TEST_CASE("a little text brings a model nearer to the dense one, with every number of planes") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const TempDir dir, texts;
  const ProcessResult result =
      calibrate(texts, dir.path("a.trit"), {"--json", "-t", "1", "--order-tokens", "1"});
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  const auto json = JsonDocument::parse(result.out, "stdout");
  REQUIRE(json.ok());
  const JsonValue qualities = json.value()->root()["quality"];
  REQUIRE(qualities.size() == 3);
  const double dense = number(qualities[size_t{0}], "perplexity");
  CHECK(number(qualities[size_t{0}], "kl_divergence") == 0);
  // Without text: 1.65 and 1.043.
  CHECK(number(qualities[size_t{1}], "perplexity") / dense < 1.5);
  CHECK(number(qualities[size_t{2}], "perplexity") / dense < 1.05);
  CHECK(number(qualities[size_t{2}], "top1_agreement") > 0.88);
  // Nothing but the file is left.
  CHECK(std::distance(std::filesystem::directory_iterator(dir.folder()),
                      std::filesystem::directory_iterator()) == 1);

  REQUIRE(calibrate(texts, dir.path("b.trit"), {"-t", "3", "--order-tokens", "1"}).exit_code == 0);
  CHECK(read_file(dir.path("a.trit")) == read_file(dir.path("b.trit")));
  CHECK(tritstack({"verify", dir.path("a.trit")}).exit_code == 0);
}

TEST_CASE(
    "prefixes of a measured order are better than the straight line, and as good as expected") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const TempDir texts;
  const std::string text = read_file(shared_data() + "/corpora/tinystories.calib.txt");
  std::ofstream(texts.path("text"), std::ios::binary) << text.substr(0, 9000);
  Comparison all("stories-qwen3-hf", 4);
  const auto model = all.quantized(
      {"--calibrate", texts.path("text"), "--calibrate-tokens", "1024", "--order-tokens", "24000"});
  const ModelReader& reader = model->reader();
  const auto bytes = [&](size_t blocks) {
    return static_cast<double>(reader.blocks()[blocks - 1].offset +
                               reader.blocks()[blocks - 1].bytes);
  };
  const auto expected = [&](size_t blocks) {
    return std::log(static_cast<double>(reader.blocks()[blocks - 1].quality));
  };
  const size_t base = reader.base_blocks(), full = reader.blocks().size();
  const double best = all.prefix(*model, full).divergence;
  const double range = all.prefix(*model, base).divergence - best;
  for (int quarter = 1; quarter <= 3; ++quarter) {
    size_t blocks = base;
    while (bytes(blocks) < bytes(base) + (bytes(full) - bytes(base)) * quarter / 4) ++blocks;
    CAPTURE(blocks);
    const double left = (all.prefix(*model, blocks).divergence - best) / range;
    CHECK(left < 0.85 * (bytes(full) - bytes(blocks)) / (bytes(full) - bytes(base)));
    const double promised = (expected(blocks) - expected(full)) / (expected(base) - expected(full));
    CHECK(std::fabs(promised - left) < 0.1);
  }
}

TEST_CASE("calibration that was interrupted or killed goes on to the same bytes") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const TempDir dir, texts;
  const std::string output = dir.path("out.trit"), partial = output + ".partial";
  REQUIRE(calibrate(texts, dir.path("whole.trit")).exit_code == 0);
  // Between matrices that share their inputs: after q of the first layer, after gate of the second.
  for (const auto& [matrix, signal] : {std::pair<size_t, int>{1, SIGKILL}, {12, SIGINT}}) {
    CAPTURE(matrix);
    Process process(calibrate_command(texts, output));
    while (process.running() && !holds(partial, matrix)) usleep(1000);
    process.send(signal);
    const ProcessResult ended = process.wait();
    CHECK(ended.exit_code == (signal == SIGKILL ? -SIGKILL : 130));
    CHECK_FALSE(std::filesystem::exists(output));
    CHECK((ended.err.find("goes on from " + partial) != std::string::npos) == (signal == SIGINT));
    const ProcessResult next = calibrate(texts, output);
    CHECK(next.exit_code == 0);
    CHECK(next.err.find("going on after") != std::string::npos);
    CHECK(read_file(output) == read_file(dir.path("whole.trit")));
    CHECK_FALSE(std::filesystem::exists(partial));
    std::filesystem::remove(output);
  }
}

// A checkpoint of the shared data, and the perplexity of files made of it over that of the dense
// model, on text that calibration never sees.
class Checkpoint {
 public:
  Checkpoint(const std::string& name, const std::string& bytes)
      : source_(shared_data() + "/models/" + name), bytes_(bytes) {
    dense_ = perplexity(make({"--dense", "f32"}), {});
  }

  std::string make(const std::vector<std::string>& flags) {
    const std::string file = files_.path(std::to_string(made_++) + ".trit");
    std::vector<std::string> arguments = {"quantize", source_, "-o", file};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const ProcessResult result = tritstack(arguments);
    REQUIRE_MESSAGE(result.exit_code == 0, result.err);
    return file;
  }
  std::string calibrated(const char* planes) {
    return make({"--planes", planes, "--calibrate", corpus("calib")});
  }
  double ratio(const std::string& file, const char* planes) const {
    const double ratio = perplexity(file, {"--planes", planes}) / dense_;
    MESSAGE(source_, ", ", std::string(planes), " planes: ", ratio);
    return ratio;
  }

 private:
  static std::string corpus(const std::string& part) {
    return shared_data() + "/corpora/tinystories." + part + ".txt";
  }
  double perplexity(const std::string& file, const std::vector<std::string>& flags) const {
    std::vector<std::string> arguments = {"perplexity",   "-m",      file,   "-f",
                                          corpus("eval"), "--bytes", bytes_, "-c",
                                          "256",          "--score", "all",  "--json"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const ProcessResult result = tritstack(arguments);
    REQUIRE_MESSAGE(result.exit_code == 0, result.err);
    const auto json = JsonDocument::parse(result.out, "stdout");
    REQUIRE(json.ok());
    return number(json.value()->root(), "perplexity");
  }

  const std::string source_, bytes_;
  TempDir files_;
  int made_ = 0;
  double dense_ = 0;
};

// Within the limits of the project (1.30; 1.40 and 1.03 for a stack; 1.005). A rounding that falls
// the other way anywhere moves these by 0.02 (two planes) and 0.003:
// model_format/convert/README.md.
TEST_CASE("stories260K: a file for each number of planes, and one stack for two of them") {
  if (shared_data().empty()) return skip("no ../shared/data");
  Checkpoint model("stories260K-hf", "20480");
  CHECK(model.ratio(model.calibrated("2"), "2") <= 1.25);
  const std::string stack = model.calibrated("3");
  CHECK(model.ratio(stack, "2") <= 1.31);
  CHECK(model.ratio(stack, "3") <= 1.02);
  CHECK(model.ratio(model.calibrated("4"), "4") <= 1.003);
}

// The next peers: llama.cpp's Q3_K_M (3.9 bits per weight) loses 1.0130, Q4_K_M (4.8 bits) 1.0057.
TEST_CASE("stories-qwen3: one stack is better than peers of its size, with text and without") {
  if (shared_data().empty()) return skip("no ../shared/data");
  Checkpoint model("stories-qwen3-hf", "100000");
  const std::string stack = model.calibrated("3");
  CHECK(model.ratio(stack, "2") <= 1.016);
  CHECK(model.ratio(stack, "3") <= 1.002);
  CHECK(model.ratio(model.make({"--planes", "2"}), "2") <= 1.036);
  CHECK(model.ratio(model.make({"--planes", "3"}), "3") <= 1.005);
}

TEST_CASE("interrupted while the order is measured, the file is whole") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const TempDir dir, texts;
  const std::string output = dir.path("out.trit");
  Process process(calibrate_command(texts, output));
  while (process.running() && !std::filesystem::exists(output)) usleep(1000);
  process.send(SIGINT);
  const ProcessResult ended = process.wait();
  CAPTURE(ended.err);
  CHECK(ended.exit_code == 130);
  CHECK(ended.err.find("interrupted; " + output +
                       " is whole, but its planes are in estimated "
                       "order") != std::string::npos);
  CHECK(tritstack({"verify", output}).exit_code == 0);
}

TEST_CASE("calibration looks for a place before it writes the dense model") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const TempDir dir, texts;
  const std::string output = dir.path("out.trit");
  const auto refused = [&](const char* text) {
    const ProcessResult result = calibrate(texts, output);
    CAPTURE(result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.err.find(text) != std::string::npos);
  };
  write_file(output + ".dense", "precious");
  refused("out.trit.dense: in the way of a copy of the dense model");
  CHECK(read_file(output + ".dense") == "precious");
  write_file(output, "precious");
  refused("out.trit: exists already");
}

TEST_CASE("a model that sees one token at a time cannot be calibrated") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const TempDir dir, texts, model;
  std::filesystem::copy(shared_data() + "/models/stories260K-hf", model.folder());
  std::string config = read_file(model.path("config.json"));
  const std::string field = "\"max_position_embeddings\": ";
  const size_t at = config.find(field);
  REQUIRE(at != std::string::npos);
  config.replace(at + field.size(), 3, "1");
  std::filesystem::permissions(model.path("config.json"), std::filesystem::perms::owner_all);
  write_file(model.path("config.json"), config);
  std::vector<std::string> command = calibrate_command(texts, dir.path("out.trit"));
  for (std::string& argument : command)
    if (argument == shared_data() + "/models/stories260K-hf") argument = model.folder();
  const ProcessResult result = run_process(command);
  CHECK(result.exit_code == 4);
  CHECK(result.err.find("max_position_embeddings: calibration needs at least 3, found 1") !=
        std::string::npos);
  CHECK(std::filesystem::is_empty(dir.folder()));
}

TEST_CASE("calibration refuses what it cannot do by name, and leaves nothing behind") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const TempDir dir, texts;
  const auto refused = [&](const std::vector<std::string>& flags, int code, const char* text) {
    const ProcessResult result = calibrate(texts, dir.path("out.trit"), flags);
    CAPTURE(result.err);
    CHECK(result.exit_code == code);
    CHECK(result.err.find(text) != std::string::npos);
    CHECK(std::filesystem::is_empty(dir.folder()));
  };
  refused({"--encoding", "free"}, 2, "--calibrate goes with --encoding tied");
  refused({"--dense", "f32"}, 2, "--dense makes no planes, so it goes without --calibrate");
  refused({"--calibrate", dir.path("nothing")}, 5, "nothing");
  refused({"--calibrate", shared_data()}, 5, "Is a directory");
  refused({"--order", "error", "--order-tokens", "9"}, 2, "goes with an order that is measured");
  refused({"--calibrate-tokens", "100"}, 2, "expected at least 512 tokens, found 100");
  const ProcessResult alone = tritstack({"quantize", shared_data() + "/models/stories260K-hf", "-o",
                                         dir.path("out.trit"), "--calibrate-tokens", "4096"});
  CHECK(alone.exit_code == 2);
  CHECK(tritstack({"quantize", shared_data() + "/models/stories260K-hf", "-o", dir.path("out.trit"),
                   "--order", "calibrated"})
            .exit_code == 2);
  CHECK(alone.err.find("--calibrate-tokens goes with --calibrate") != std::string::npos);
}

}  // namespace
}  // namespace trit
