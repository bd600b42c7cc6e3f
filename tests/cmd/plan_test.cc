// tritstack plan: the rows, the choice, what fills it, cut files, and the pictures; by running it.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

#include "model_format/checksum.h"
#include "model_format/file_layout.h"
#include "model_format/head_sections.h"
#include "model_format/json.h"
#include "model_format/reader.h"
#include "tests/cmd/models.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

// stdout of a command that must succeed, with nothing on stderr.
std::string output_of(const std::vector<std::string>& arguments,
                      const ProcessOptions& options = {}) {
  const ProcessResult result = tritstack(arguments, options);
  CAPTURE(arguments);
  CAPTURE(result.err);
  CHECK(result.exit_code == 0);
  CHECK(result.err.empty());
  return result.out;
}

class PlanJson {
 public:
  explicit PlanJson(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "plan");
    arguments.push_back("--json");
    text_ = output_of(arguments);
    auto document = JsonDocument::parse(text_, "stdout");
    REQUIRE(document.ok());
    document_ = std::move(document.value());
  }
  JsonValue operator[](std::string_view key) const { return document_->root()[key]; }
  uint64_t integer(std::string_view key) const { return *(*this)[key].unsigned_integer(); }
  uint64_t prefix(size_t i, std::string_view key) const {
    return *(*this)["prefixes"][i][key].unsigned_integer();
  }
  size_t prefixes() const { return (*this)["prefixes"].size(); }

 private:
  std::string text_;
  std::unique_ptr<JsonDocument> document_;
};

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

std::string cut_demo(const TempDir& folder, size_t bytes) {
  const std::string path = folder.path("cut.trit");
  write_file(path, read_file(kDemo).substr(0, bytes));
  return path;
}

// The demo with perplexities in its block table: 30 for the base, one less with each block.
std::string demo_with_perplexities(const TempDir& folder) {
  std::string bytes = read_file(kDemo);
  auto* file = reinterpret_cast<uint8_t*>(bytes.data());
  uint8_t* entry = file + header::kBytes +
                   section_entry::kBytes * (static_cast<uint32_t>(SectionKind::kBlocks) - 1);
  uint8_t* table = file + load<uint64_t>(entry + section_entry::kOffset.offset);
  const auto size = load<uint64_t>(entry + section_entry::kSize.offset);
  const auto reader = ModelReader::open(kDemo);
  REQUIRE(reader.ok());
  for (size_t i = reader->base_blocks() - 1; i < reader->blocks().size(); ++i)
    store(table + i * block_record::kBytes + block_record::kQuality.offset,
          30.0f - static_cast<float>(i + 1 - reader->base_blocks()));
  const uint64_t seed =
      section_seed(reader->file_id(), static_cast<uint32_t>(SectionKind::kBlocks));
  store(entry + section_entry::kHash.offset, hash64(table, size, seed));
  store(file + header::kHash.offset,
        header_hash(file, load<uint32_t>(file + header::kSections.offset)));
  const std::string path = folder.path("measured.trit");
  write_file(path, bytes);
  return path;
}

TEST_CASE("every prefix of the stored order is there, and takes more than the one before it") {
  for (const std::string& path : {tiny_path(), std::string(kDemo)}) {
    const auto reader = ModelReader::open(path);
    REQUIRE(reader.ok());
    const PlanJson plan({"-m", path});
    REQUIRE(plan.prefixes() == reader->blocks().size() - reader->base_blocks() + 1);
    CHECK(plan.prefix(0, "blocks") == reader->base_blocks());
    CHECK(plan.prefix(0, "memory_bytes") == plan.integer("smallest_bytes"));
    for (size_t i = 1; i < plan.prefixes(); ++i) {
      CHECK(plan.prefix(i, "blocks") == plan.prefix(i - 1, "blocks") + 1);
      CHECK(plan.prefix(i, "memory_bytes") >= plan.prefix(i - 1, "memory_bytes"));
      CHECK(plan.prefix(i, "weight_bytes") > plan.prefix(i - 1, "weight_bytes"));
      CHECK(plan["prefixes"][i]["quality"].number() <= plan["prefixes"][i - 1]["quality"].number());
    }
    CHECK(plan["prefixes"][0]["quality"].number() == 100);
    CHECK(plan["prefixes"][0]["planes"][1].number() == 2);
    CHECK(plan["prefixes"][plan.prefixes() - 1]["planes"][0].number() == 3);
    CHECK(plan["prefixes"][plan.prefixes() - 1]["head_planes"][0].number() == 4);
  }
}

TEST_CASE("the choice is the longest prefix within the budget, and its kinds add up to it") {
  const PlanJson all({"-m", kDemo, "--memory", "1G"});
  CHECK(*all["chosen"]["blocks"].unsigned_integer() == all.prefix(all.prefixes() - 1, "blocks"));
  // Half way up, whatever the process itself takes today.
  const uint64_t first = all.integer("smallest_bytes");
  const uint64_t last = *all["chosen"]["memory_bytes"].unsigned_integer();
  const uint64_t budget = (first + last) / 2;
  const PlanJson half({"-m", kDemo, "--memory", std::to_string(budget)});
  CHECK(half.integer("budget_bytes") == budget);
  const JsonValue chosen = half["chosen"];
  uint64_t sum = 0, longest = 0;
  for (const char* kind : {"weights", "kv_cache", "activations", "tokenizer_and_tables", "process"})
    sum += *chosen[kind].unsigned_integer();
  CHECK(*chosen["memory_bytes"].unsigned_integer() == sum);
  for (size_t i = 0; i < half.prefixes(); ++i) {
    if (half.prefix(i, "memory_bytes") <= budget) longest = half.prefix(i, "blocks");
  }
  CHECK(*chosen["blocks"].unsigned_integer() == longest);
  CHECK(longest > half.prefix(0, "blocks"));
  CHECK(longest < half.prefix(half.prefixes() - 1, "blocks"));
}

TEST_CASE("context, cache and threads count") {
  const auto kind = [](const std::vector<std::string>& flags, const char* name) {
    std::vector<std::string> arguments = {"-m", kDemo, "--memory", "1G"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return *PlanJson(arguments)["chosen"][name].unsigned_integer();
  };
  const uint64_t cache = kind({}, "kv_cache");
  CHECK(cache == 4 * 2 * 4 * 32 * 2 * 256);  // layers, halves, heads, values of 2 bytes, positions
  CHECK(kind({"-c", "128"}, "kv_cache") == cache / 2);
  CHECK(kind({"-ctk", "f32", "-ctv", "f32"}, "kv_cache") == 2 * cache);
  CHECK(kind({"-t", "1"}, "activations") < kind({"-t", "8"}, "activations"));
  CHECK(kind({"-ub", "8"}, "activations") < kind({"-ub", "128"}, "activations"));
}

TEST_CASE("the table marks the choice, has whole plane counts and says what fills the memory") {
  const std::string table = output_of({"plan", "-m", kDemo, "--memory", "1G"});
  CAPTURE(table);
  CHECK(count(table, "\n> 3       4") == 1);
  CHECK(count(table, "<- budget") == 1);
  CHECK(count(table, "\n  2       3") == 1);
  CHECK(count(table, "\n  3       3") == 1);
  CHECK(count(table, "\n  2-3     3") >= 5);
  CHECK(count(table, "100.0 %") == 1);
  CHECK(count(table, "\nplanes and head: what --planes and --head-planes pin") == 1);
  for (const char* kind :
       {"weights  ", "KV cache", "activations", "tokenizer and tables", "process"})
    CHECK(count(table, std::string("\n  ") + kind) == 1);
  CHECK(table.find("budget 1024.0 MiB\n") != std::string::npos);
  const std::string automatic = output_of({"plan", kDemo});
  CHECK(automatic.find("seven eighths of what is free (--memory ") != std::string::npos);
}

TEST_CASE("a budget below the base is told with the least that works, and is no error") {
  const std::string table = output_of({"plan", "-m", kDemo, "--memory", "1M"});
  CHECK(count(table, "<- budget") == 0);
  CHECK(table.find("too small: the base planes take ") != std::string::npos);
  CHECK(!PlanJson({"-m", kDemo, "--memory", "1M"})["chosen"].exists());
}

TEST_CASE("the head of a download is enough, and what is missing is told") {
  const TempDir folder;
  const auto reader = ModelReader::open(kDemo);
  REQUIRE(reader.ok());
  const size_t head = reader->head_bytes();
  const std::string whole = output_of({"inspect", kDemo, "--sizes"});
  for (const size_t bytes : {head, static_cast<size_t>(reader->base_end()) - 1}) {
    const std::string path = cut_demo(folder, bytes);
    const std::string table = output_of({"plan", path, "--memory", "1G"});
    CAPTURE(table);
    CHECK(count(table, "not here yet") >= 10);
    CHECK(count(table, "\n> 3       4") == 1);
    CHECK(table.find("nothing can run before the base is whole, which takes ") !=
          std::string::npos);
    CHECK(output_of({"inspect", path}).find("layers.1.down") != std::string::npos);
    const std::string sizes = output_of({"inspect", path, "--sizes"});
    CHECK(sizes.substr(sizes.find("\n\n")) == whole.substr(whole.find("\n\n")));
    check_error({"run", "-m", path, "-p", "x"}, 3, "base_end");
  }
  const BlockInfo& block = reader->blocks()[reader->base_blocks() + 4];
  const PlanJson cut({cut_demo(folder, block.offset + block.bytes), "--memory", "1G"});
  CHECK(*cut["chosen"]["blocks"].unsigned_integer() == reader->base_blocks() + 5);
  CHECK(cut.integer("present_bytes") == block.offset + block.bytes);
  CHECK(output_of({"plan", folder.path("cut.trit"), "--memory", "1G"})
            .find("of 88 blocks 64 are whole; with the rest the budget buys 88, ") !=
        std::string::npos);
  for (size_t i = 0; i < cut.prefixes(); ++i)
    CHECK(cut["prefixes"][i]["present"].boolean() == (i <= 5));
  check_error({"plan", cut_demo(folder, head - 1)}, 3, "head_bytes");
}

TEST_CASE("measured perplexities are shown where the file has them") {
  const TempDir folder;
  const std::string path = demo_with_perplexities(folder);
  const PlanJson plan({path, "--memory", "1G"});
  CHECK(plan["quality"].string() == "perplexity");
  for (size_t i = 0; i < plan.prefixes(); ++i)
    CHECK(plan["prefixes"][i]["quality"].number() == 30.0 - static_cast<double>(i));
  const std::string table = output_of({"plan", path});
  CHECK(table.find("perplexity") != std::string::npos);
  CHECK(table.find(" 30.00\n") != std::string::npos);
  CHECK(table.find("rel. loss") == std::string::npos);
}

TEST_CASE("the plot fits 80 columns and the picture appears whole") {
  const TempDir folder;
  const std::string picture = folder.path("plan.svg");
  ProcessOptions plain;
  plain.environment = {"LC_ALL=C"};
  const std::string plot = output_of({"plan", kDemo, "--plot", "--svg", picture}, plain);
  CAPTURE(plot);
  for (size_t begin = 0; begin < plot.size(); begin = plot.find('\n', begin) + 1)
    CHECK(plot.find('\n', begin) - begin <= 100);
  CHECK(count(plot, "*") > 40);
  CHECK(std::all_of(plot.begin(), plot.end(),
                    [](char c) { return c == '\n' || (c >= 32 && c < 127); }));
  plain.environment = {"LC_ALL=C.UTF-8", "TERM=xterm"};
  CHECK(output_of({"plan", kDemo, "--plot"}, plain).find("●") != std::string::npos);
  CHECK(read_file(picture).find("</svg>\n") != std::string::npos);
  check_error({"plan", kDemo, "--svg", folder.path("no/where.svg")}, 5, "where.svg");
  check_error({"plan", kDemo, "--json", "--plot"}, 2, "--plot");
}

TEST_CASE("a dense model has one row") {
  const std::string dense = stories260k({"--dense", "bf16"});
  if (dense.empty()) return skip("no ../shared/data");
  const std::string table = output_of({"plan", dense, "--plot"});
  CHECK(table.find("dense") != std::string::npos);
  CHECK(PlanJson({dense}).prefixes() == 1);
}

}  // namespace
}  // namespace trit
