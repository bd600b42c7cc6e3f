// The benchmark's promises: fields that agree with each other, forms that parse, every kind of
// model it can be given, and nothing left behind. Figures themselves are not tested.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "model_format/json.h"
#include "model_format/verify.h"
#include "tests/support/process.h"
#include "tests/support/tiny_checkpoint.h"

namespace trit {
namespace {

// A folder with the config of a tiny model.
std::string config_folder(const std::string& architecture) {
  static const TempDir folder;
  const std::string path = folder.path(architecture);
  std::filesystem::create_directory(path);
  tiny_checkpoint(architecture, 1).write(path);
  return path;
}

ProcessResult bench(std::vector<std::string> arguments, const ProcessOptions& options = {}) {
  const std::vector<std::string> quick = {"bench", "-r", "2", "-p", "5", "-n", "3"};
  arguments.insert(arguments.begin(), quick.begin(), quick.end());
  ProcessResult result = tritstack(arguments, options);
  CAPTURE(arguments);
  CAPTURE(result.err);
  REQUIRE(result.exit_code == 0);
  return result;
}

double number(JsonValue value) {
  REQUIRE(value.is_number());
  return value.number();
}

bool near(double a, double b) {
  return std::fabs(a - b) <= 1e-9 * std::fabs(b);
}

TEST_CASE("every field of a benchmark is there and agrees with the others") {
  const std::string config = config_folder("Qwen3ForCausalLM") + "/config.json";
  const ProcessResult result =
      bench({"--config", config, "--planes", "1,3", "-t", "1,2", "-d", "0,7", "--json"});
  const auto document = JsonDocument::parse(result.out, "stdout");
  REQUIRE(document.ok());
  const JsonValue rows = document.value()->root();
  REQUIRE(rows.is_array());
  REQUIRE(rows.size() == 16);
  for (size_t i = 0; i < rows.size(); ++i) {
    const JsonValue row = rows[i];
    for (const char* text : {"isa", "model_name", "model_filename", "type_k", "type_v"})
      CHECK(row[text].is_string());
    const double tokens = number(row["n_prompt"]) + number(row["n_gen"]);
    CHECK((tokens == 5 || tokens == 3));
    REQUIRE(row["samples_ns"].size() == 2);
    const double first = tokens * 1e9 / number(row["samples_ns"][0]);
    const double second = tokens * 1e9 / number(row["samples_ns"][1]);
    CHECK(near(number(row["avg_ts"]), (first + second) / 2));
    CHECK(near(number(row["median_ts"]), (first + second) / 2));
    CHECK(near(number(row["stddev_ts"]), std::fabs(first - second) / std::sqrt(2.0)));
    CHECK(near(number(row["gbps"]), number(row["bytes_per_token"]) * number(row["avg_ts"]) / 1e9));
    CHECK(number(row["dram_gbps"]) > 0);
    CHECK(number(row["int8_share"]) > 0);
    CHECK(number(row["peak_rss_bytes"]) > 1e6);
    if (number(row["n_gen"]) == 0) continue;
    // Three tokens at d + 1, d + 2 and d + 3 positions.
    CHECK(near(number(row["bytes_per_token"]),
               number(row["model_size"]) +
                   number(row["kv_bytes_per_position"]) * (number(row["n_depth"]) + 2)));
  }
  // Planes of one file are prefixes of one stack: one more plane, only its digits more.
  CHECK(number(rows[0]["planes"]) == 1);
  CHECK(number(rows[15]["planes"]) == 3);
  CHECK(number(rows[15]["model_size"]) > number(rows[0]["model_size"]));
}

TEST_CASE("a saved random model verifies, runs again, and the same seed gives the same bytes") {
  const TempDir folder;
  const std::string config = config_folder("LlamaForCausalLM"), saved = folder.path("a.trit");
  bench({"--config", config, "--save", saved});
  CHECK(verify_file(saved, nullptr).ok());
  bench({"-m", saved, "--planes", "1,2"});
  CHECK(tritstack({"bench", "--config", config, "--save", saved}).exit_code == 2);
  const ProcessResult nothing = tritstack(
      {"bench", "--config", config, "--save", folder.path("b.trit"), "-p", "0", "-n", "0"});
  CHECK(nothing.exit_code == 0);
  CHECK(nothing.out.empty());
  CHECK(read_file(saved) == read_file(folder.path("b.trit")));
}

TEST_CASE("a ternary model runs native with one plane and tied with more") {
  const std::string config = config_folder("BitNetForCausalLM");
  const ProcessResult result = bench({"--config", config, "--planes", "1,2", "-o", "jsonl"});
  CHECK(result.out.find("\"encoding\": \"native\", ") <
        result.out.find("\"encoding\": \"tied\", "));
  CHECK(
      tritstack({"bench", "--config", config, "--encoding", "native", "--planes", "2"}).exit_code ==
      2);
  const ProcessResult free =
      bench({"--config", config, "--encoding", "free", "--planes", "2,3", "-o", "csv"});
  CHECK(std::count(free.out.begin(), free.out.end(), '\n') == 5);
}

TEST_CASE("temporary models go to TMPDIR and disappear, also after an interrupt") {
  const TempDir folder;
  ProcessOptions options;
  options.environment = {"TMPDIR=" + folder.folder()};
  const std::string config = config_folder("Qwen2ForCausalLM");
  const ProcessResult result = bench({"--config", config, "-o", "jsonl"}, options);
  CHECK(result.out.find(folder.folder() + "/tritstack-bench-") != std::string::npos);
  CHECK(std::filesystem::is_empty(folder.folder()));
  Process running({tritstack_path(), "bench", "--config", config, "-r", "1000"}, options);
  CHECK(running.wait_for_error("round"));
  running.send(SIGINT);
  CHECK(running.wait().exit_code == 130);
  CHECK(std::filesystem::is_empty(folder.folder()));
}

TEST_CASE("kernels are measured on every level") {
  const ProcessResult result =
      tritstack({"bench", "--kernels", "-t", "1", "-r", "1", "-o", "json"});
  REQUIRE(result.exit_code == 0);
  const auto document = JsonDocument::parse(result.out, "stdout");
  REQUIRE(document.ok());
  CHECK(document.value()->root().size() >= 10);
  CHECK(result.out.find("\"gemv tied K=4\", \"isa\": \"scalar\"") != std::string::npos);
}

TEST_CASE("a benchmark without a model, with two, or with nothing to do exits with 2") {
  const std::string config = config_folder("LlamaForCausalLM");
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"bench"},
                                             {"bench", "-m", "x", "--kernels"},
                                             {"bench", "-m", "x", "--save", "y"},
                                             {"bench", "--config", config, "-p", "0", "-n", "0"},
                                             {"bench", "--config", config, "-t", "0"},
                                             {"bench", "--config", config, "-p", "1,"},
                                             {"bench", "--config", config, "--planes", "5"}}) {
    const ProcessResult result = tritstack(arguments);
    CAPTURE(arguments);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  }
  CHECK(tritstack({"bench", "-m", "/nowhere.trit"}).exit_code == 5);
  CHECK(tritstack({"bench", "--config", "/nowhere"}).exit_code == 5);
}

}  // namespace
}  // namespace trit
