// The commands on trained models: conversations with the demo, and stories260K measured against the
// reference results.
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "model_format/json.h"
#include "tests/cmd/models.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

ProcessResult chat(const std::string& input, std::vector<std::string> flags = {}) {
  flags.insert(flags.begin(), {"chat", "-m", kDemo, "--temp", "0"});
  ProcessOptions options;
  options.input = input;
  return tritstack(flags, options);
}

std::string run(std::vector<std::string> flags, const std::string& input = "") {
  flags.insert(flags.begin(), {"run", "-m", kDemo, "--temp", "0"});
  ProcessOptions options;
  options.input = input;
  return tritstack(flags, options).out;
}

TEST_CASE("the demo tells a story, the same for every number of threads, and nothing else") {
  const ProcessResult story = chat("Tell me a story about a dog.\n", {"-t", "1"});
  CAPTURE(story.err);
  CHECK(story.exit_code == 0);
  CHECK(story.out.size() > 200);
  CHECK(story.out.find(" a ") != std::string::npos);
  CHECK(story.out.back() == '\n');
  CHECK(story.out[story.out.size() - 2] != '\n');
  CHECK(chat("Tell me a story about a dog.", {"-t", "2"}).out == story.out);
  CHECK(chat("Tell me a story about a dog.\r\n", {"-t", "3", "--io", "read"}).out == story.out);
}

TEST_CASE("each line of input is one turn, and every answer ends with one newline") {
  const std::string first = chat("Who are you?\n").out;
  const ProcessResult two = chat("Who are you?\n\n \t\nWho are you?\n");
  CHECK(two.exit_code == 0);
  CHECK(two.out.substr(0, first.size()) == first);
  CHECK(std::count(two.out.begin(), two.out.end(), '\n') == 2);
  CHECK(chat("").out == "");
  CHECK(chat("").exit_code == 0);
}

TEST_CASE("in-chat commands change the conversation and write nothing to standard output") {
  const std::string first = chat("Who are you?\n").out;
  CHECK(chat("Who are you?\n/regen\n").out == first + first);
  CHECK(chat("Who are you?\n/undo\nWho are you?\n").out == first + first);
  CHECK(chat("Who are you?\n/clear\nWho are you?\n").out == first + first);
  CHECK(chat("Who are you?\n/exit\nWho are you?\n").out == first);
  CHECK(chat("/help\n/stats\n/undo\n/regen\n").out == "");
  CHECK(chat("/help\n").err.find("/system TEXT") != std::string::npos);
  CHECK(chat("/planes\n/clear\n").err.find("planes 3, head planes 4; memory ") !=
        std::string::npos);
  const ProcessResult unknown = chat("/nosuch\nWho are you?\n /nosuch\n");
  CHECK(unknown.out.substr(0, first.size()) == first);
  CHECK(unknown.out.size() > first.size());
  CHECK(unknown.err.find("unknown command /nosuch; a space before it") != std::string::npos);
  const std::string told = chat("Who are you?\n", {"-sys", "You are a cat. Be brief."}).out;
  CHECK(chat("/system You are a cat. Be brief.\nWho are you?\n").out == told);
}

TEST_CASE("-n and --stop end an answer early") {
  const std::string whole = chat("Who are you?\n").out;
  const std::string cut = chat("Who are you?\n", {"-n", "3"}).out;
  CHECK(cut.size() < whole.size());
  CHECK(whole.substr(0, cut.size() - 1) == cut.substr(0, cut.size() - 1));
  const std::string word = whole.substr(5, 4);
  CHECK(chat("Who are you?\n", {"--stop", word}).out == whole.substr(0, whole.find(word)) + "\n");
}

TEST_CASE("a full context exits with 7; with --drop-oldest the oldest turns go instead") {
  const std::string questions = "Who are you?\nWho are you?\nWho are you?\nWho are you?\n";
  const ProcessResult full = chat(questions, {"-c", "100"});
  CHECK(full.exit_code == 7);
  CHECK(full.err.find("context holds 100; /clear starts afresh, --drop-oldest forgets old turns; "
                      "-c N makes it larger, up to 256") != std::string::npos);
  const ProcessResult dropped = chat(questions, {"-c", "100", "--drop-oldest"});
  CHECK(dropped.exit_code == 0);
  CHECK(dropped.err.find("forgotten") != std::string::npos);
  CHECK(std::count(dropped.out.begin(), dropped.out.end(), '\n') == 4);
  const ProcessResult long_one = chat(std::string(3000, 'x') + "\n", {"--drop-oldest"});
  CHECK(long_one.exit_code == 7);
  CHECK(long_one.err.find("holds 256; this turn alone fills it\n") != std::string::npos);
}

TEST_CASE(
    "lines without end and unreadable input are errors; what the cache holds is not counted") {
  const ProcessResult endless = chat("Who are you?\n" + std::string(20000, 'x') + "\nno turn\n");
  CHECK(endless.exit_code == 7);
  CHECK(endless.err.find("the message is longer than 16384 bytes") != std::string::npos);
  const ProcessResult unreadable = run_process(
      {"/bin/sh", "-c", "exec " + tritstack_path() + " chat -m " + std::string(kDemo) + " </tmp"});
  CHECK(unreadable.exit_code == 5);
  CHECK(unreadable.err.find("standard input: cannot read") != std::string::npos);
  const auto tokens = [](const std::string& err) {
    return std::stoi(err.substr(err.rfind("; prompt ") + 9));
  };
  const std::string turn = "Who are you?\n", stats = "/stats\n";
  const int first = tokens(chat(turn + stats).err);
  CHECK(tokens(chat(turn + turn + stats).err) < first + 8);
  CHECK(tokens(chat(turn + "/clear\n" + turn + stats).err) == first);
}

TEST_CASE("run completes a prompt from a flag, a file or a pipe, and writes the completion only") {
  const TempDir folder;
  const std::string file = folder.path("prompt.txt");
  write_file(file, "Once upon a time");
  const std::string completion = run({"-p", "Once upon a time", "-n", "12"});
  CHECK(!completion.empty());
  CHECK(completion.find("Once upon a time") == std::string::npos);
  CHECK(run({"-f", file, "-n", "12"}) == completion);
  CHECK(run({"-f", "-", "-n", "12"}, "Once upon a time") == completion);
  CHECK(run({"-p", "Once upon", "-n", "12"}, " a time") == completion);
  CHECK(run({"-p", "Who are you?", "--chat"}) + "\n" == chat("Who are you?\n").out);
  CHECK(run({"-p", "x", "-n", "0"}) == "");
}

TEST_CASE("the same seed gives the same text, and --verbose shows the seed") {
  const auto sampled = [](const std::string& seed) {
    return tritstack({"run", "-m", kDemo, "-p", "Once", "-n", "24", "--temp", "1", "--top-k", "0",
                      "--min-p", "0", "-s", seed, "--verbose"});
  };
  const ProcessResult first = sampled("11");
  CHECK(first.out == sampled("11").out);
  CHECK(first.out != sampled("12").out);
  CHECK(first.err.find("seed 11") != std::string::npos);
}

TEST_CASE("tokenize and --decode are inverse, byte for byte") {
  const TempDir folder;
  const std::string text = "One  two\n\tthree\r\n\xc3\xa9\xe4\xbd\xa0 <|im_end|> ";
  const std::string file = folder.path("text");
  write_file(file, text);
  std::string ids = tritstack({"tokenize", "-m", kDemo, "-f", file}).out;
  REQUIRE(!ids.empty());
  ids.pop_back();
  CHECK(ids.find("  ") == std::string::npos);
  CHECK(tritstack({"tokenize", "-m", kDemo, "--decode", ids}).out == text);
  const auto with_special = tritstack({"tokenize", "-m", kDemo, "-p", "<|im_end|>", "--special"});
  CHECK(with_special.out.find(' ') == std::string::npos);
  CHECK(tritstack({"tokenize", "-m", kDemo, "-p", "<|im_end|>"}).out.find(' ') !=
        std::string::npos);
  CHECK(tritstack({"tokenize", "-m", kDemo, "-p", "a", "--decode", "1"}).exit_code == 2);
}

double perplexity(const std::string& model, std::vector<std::string> flags = {}) {
  flags.insert(flags.begin(),
               {"perplexity", "-m", model, "-f", shared_data() + "/corpora/tinystories.eval.txt",
                "-c", "256", "--score", "all", "--bytes", "20480"});
  const std::string out = tritstack(flags).out;
  const size_t at = out.find("Final estimate: PPL = ");
  REQUIRE(at != std::string::npos);
  CHECK(out.find('\n', at) == out.size() - 1);
  return std::strtod(out.c_str() + at + 22, nullptr);
}

TEST_CASE("perplexity of stories260K equals the reference, and planes cost what was promised") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const double golden = 4.790973;
  CHECK(perplexity(stories260k({"--dense", "f32"})) == doctest::Approx(golden).epsilon(2e-5));
  CHECK(perplexity(stories260k({"--planes", "3", "--head-planes", "4"})) < golden * 1.05);
  const std::string four = stories260k({"--planes", "4", "--head-planes", "4"});
  CHECK(perplexity(four) < golden * 1.01);
  CHECK(perplexity(four, {"--planes", "2", "--chunks", "8"}) > golden * 1.2);
}

TEST_CASE("perplexity by halves, --chunks, --kl and texts that are too short") {
  const std::string reference = stories260k({"--dense", "f32"});
  if (reference.empty()) return skip("no ../shared/data");
  const std::string text = shared_data() + "/corpora/tinystories.eval.txt";
  const std::string planes = stories260k({});
  const ProcessResult result = tritstack(
      {"perplexity", "-m", planes, "-f", text, "-c", "128", "--chunks", "3", "--kl", reference});
  CHECK(result.exit_code == 0);
  // 128 tokens a window, predicted from position 64 on: 63 of them.
  CHECK(result.out.find("3 windows of 128 tokens, 189 scored\nMean KL divergence = 0.0") == 0);
  const ProcessResult demo =
      tritstack({"perplexity", "-m", kDemo, "-f", text, "--chunks", "1", "--json"});
  CHECK(demo.out.find("\"context\": 256") != std::string::npos);  // less than 512
  const ProcessResult same = tritstack({"perplexity", "-m", reference, "-f", text, "-c", "128",
                                        "--chunks", "1", "--kl", reference, "--json"});
  const auto document = JsonDocument::parse(same.out, "stdout");
  REQUIRE(document.ok());
  CHECK(document.value()->root()["kl_divergence"].number() == doctest::Approx(0).epsilon(1e-12));
  CHECK(document.value()->root()["top1_agreement"].number() == 1);
  const ProcessResult brief =
      tritstack({"perplexity", "-m", planes, "-f", text, "-c", "128", "--bytes", "64"});
  CHECK(brief.exit_code == 2);
  CHECK(brief.err.find("a window needs 128") != std::string::npos);
}

TEST_CASE("greedy decoding of stories260K equals the reference, token for token") {
  const std::string model = stories260k({"--dense", "f32"});
  if (model.empty()) return skip("no ../shared/data");
  const std::string json = read_file(shared_data() + "/golden/stories260K.greedy.json");
  const auto document = JsonDocument::parse(json, "golden");
  REQUIRE(document.ok());
  const JsonValue ids = document.value()->root()["ids"];
  std::string expected;
  for (size_t i = 0; i < ids.size(); ++i)
    expected += (i ? " " : "") + std::to_string(*ids[i].integer());
  const std::string count = std::to_string(ids.size());
  CHECK(tritstack({"run", "-m", model, "--tokens", "1", "-n", count, "--temp", "0"}).out ==
        expected + "\n");
}

TEST_CASE("quantize keeps an existing output, unless forced, and leaves none when interrupted") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const TempDir folder;
  const std::string source = shared_data() + "/models/stories260K-hf", out = folder.path("x.trit");
  write_file(out, "precious");
  const ProcessResult refused = tritstack({"quantize", source, "-o", out});
  CHECK(refused.exit_code == 2);
  CHECK(refused.err.find("--force") != std::string::npos);
  CHECK(read_file(out) == "precious");
  const ProcessResult forced = tritstack({"quantize", source, "-o", out, "--force", "--json"});
  CHECK(forced.exit_code == 0);
  CHECK(JsonDocument::parse(forced.out, "stdout").ok());
  CHECK(tritstack({"verify", out}).exit_code == 0);

  const TempDir empty;
  Process quantize({tritstack_path(), "quantize", shared_data() + "/models/stories-qwen3-hf", "-o",
                    empty.path("y.trit"), "-t", "1", "--encoding", "free"});
  usleep(20000);
  quantize.send(SIGINT);
  const ProcessResult result = quantize.wait();
  CAPTURE(result.err);
  CHECK(result.exit_code == 130);
  // Finished matrices may be kept for the next run, and nothing else.
  std::filesystem::remove(empty.path("y.trit.partial"));
  CHECK(std::filesystem::is_empty(empty.folder()));
}

}  // namespace
}  // namespace trit
