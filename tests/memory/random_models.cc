// See random_models.h.
#include "tests/memory/random_models.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "model_format/json.h"
#include "tests/support/process.h"

namespace trit {

namespace {

// Of "254 of 256 blocks"; all of them where the line does not say.
uint64_t blocks_in(const std::string& err, uint64_t all) {
  const size_t end = err.find(" blocks");
  if (end == std::string::npos) return all;
  const size_t begin = err.rfind(", ", end);
  return std::strtoull(err.c_str() + begin + 2, nullptr, 10);
}

}  // namespace

std::string random_model(const TempDir& folder, const RandomShape& s) {
  const std::string config = folder.path("config.json"), model = folder.path("random.trit");
  const auto field = [](const char* name, int value) {
    return ",\"" + std::string(name) + "\":" + std::to_string(value);
  };
  write_file(config, R"({"architectures":["LlamaForCausalLM"],"rms_norm_eps":1e-5,)"
                     R"("rope_theta":1e4,"max_position_embeddings":4096,)"
                     R"("tie_word_embeddings":true)" +
                         field("num_hidden_layers", s.layers) + field("hidden_size", s.hidden) +
                         field("intermediate_size", s.ffn) + field("num_attention_heads", s.heads) +
                         field("num_key_value_heads", s.kv_heads) + field("head_dim", s.head_dim) +
                         field("vocab_size", s.vocab) + "}");
  const ProcessResult written =
      tritstack({"bench", "--config", config, "--planes", std::to_string(s.planes), "--save", model,
                 "-p", "0", "-n", "0"});
  REQUIRE_MESSAGE(written.exit_code == 0, written.err);
  return model;
}

std::vector<PlannedPrefix> planned_prefixes(const std::string& model,
                                            const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = {"plan", model, "--json"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const std::string json = tritstack(arguments).out;
  const auto document = JsonDocument::parse(json, "stdout");
  REQUIRE(document.ok());
  const JsonValue prefixes = document.value()->root()["prefixes"];
  std::vector<PlannedPrefix> rows;
  for (size_t i = 0; i < prefixes.size(); ++i)
    rows.push_back({*prefixes[i]["blocks"].unsigned_integer(),
                    *prefixes[i]["memory_bytes"].unsigned_integer()});
  return rows;
}

BudgetRun run_in_budget(const std::string& model, const std::vector<PlannedPrefix>& plan,
                        uint64_t budget, const std::vector<std::string>& flags, size_t tokens,
                        const MemoryGroup* group) {
  std::vector<std::string> arguments = {tritstack_path(),
                                        "run",
                                        "-m",
                                        model,
                                        "--tokens",
                                        "1,2,3",
                                        "--ignore-eos",
                                        "--temp",
                                        "0",
                                        "--memory",
                                        std::to_string(budget)};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  BudgetRun run = {};
  for (const PlannedPrefix& prefix : plan)
    if (prefix.bytes <= budget) run.expected = prefix;
  const uint64_t least = run.expected.bytes - run.expected.bytes / 100 - 2 * kMiB;
  Process process(group ? group->inside(arguments) : arguments);
  // No clock decides: it goes on until all is there and so many tokens are out, or it ends.
  bool stopped = false;
  for (; process.running(); usleep(1000)) {
    run.peak_bytes = std::max(run.peak_bytes, process.peak_bytes());
    const std::string out = process.output();
    if (stopped || run.peak_bytes < least) continue;
    if (static_cast<size_t>(std::count(out.begin(), out.end(), ' ')) < tokens) continue;
    process.send(SIGINT);
    stopped = true;
  }
  const ProcessResult result = process.wait();
  run.exit_code = result.exit_code;
  run.err = result.err;
  run.blocks = blocks_in(result.err, plan.back().blocks);
  return run;
}

void forget_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  CHECK(fdatasync(fd) == 0);
  CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
  close(fd);
}

}  // namespace trit
