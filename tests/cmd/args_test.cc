// The argument parser: strict numbers, sizes, aliases, required flags, nearest names.
#include "cmd/common/args.h"

#include <doctest/doctest.h>

#include "cmd/common/size_text.h"

namespace trit {
namespace {

struct Parsed {
  std::optional<int64_t> threads = 4;
  std::optional<double> temperature;
  std::optional<uint64_t> bytes;
  std::optional<std::string> model, kind = "a";
  std::vector<std::string> stops;
  bool verbose = false;
  std::optional<int> end;
};

Parsed parse(std::vector<std::string> words) {
  Parsed p;
  words.insert(words.begin(), "test");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const CommandLine command = {
      "test",
      "a test",
      "",
      {{"M", "", "", TextTarget{&p.model, {}}, kRequired},
       {"-m, --model", "FILE", "", TextTarget{&p.model, {}}},
       {"-t, --threads", "N", "", IntegerTarget{&p.threads, 1, 64}},
       {"--temp, --temperature", "T", "", NumberTarget{&p.temperature, 0, 10}},
       {"--bytes", "SIZE", "", SizeTarget{&p.bytes}},
       {"--kind", "a|b", "", TextTarget{&p.kind, {"a", "b"}}},
       {"--stop", "TEXT", "", ListTarget{&p.stops}},
       {"-v, --verbose", "", "", SwitchTarget{&p.verbose}}}};
  p.end = parse_args(command, static_cast<int>(argv.size()), argv.data());
  return p;
}

TEST_CASE("flags are read by every name, with a space or an equals sign, and the last one wins") {
  const Parsed p = parse({"--temperature", "0.5", "-t", "3", "-t=5", "--threads=7", "x.trit",
                          "--stop", "a", "--stop=b=c", "-v", "--kind", "b"});
  CHECK(!p.end);
  CHECK(p.temperature == 0.5);
  CHECK(p.threads == 7);
  CHECK(p.model == "x.trit");
  CHECK(p.stops == std::vector<std::string>{"a", "b=c"});
  CHECK(p.verbose);
  CHECK(p.kind == "b");
}

TEST_CASE("what is not given keeps its default or stays empty") {
  const Parsed p = parse({"-m", "x"});
  CHECK(!p.end);
  CHECK(p.threads == 4);
  CHECK(!p.temperature);
  CHECK(!p.verbose);
}

TEST_CASE("a value may begin with a dash, and a double dash ends the flags") {
  CHECK(parse({"x", "--stop", "-t"}).stops == std::vector<std::string>{"-t"});
  CHECK(parse({"--", "-t"}).model == "-t");
}

TEST_CASE("usage errors end with 2") {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"x", "y"},
                                             {"x", "--nothing"},
                                             {"x", "-t"},
                                             {"x", "-t", "0"},
                                             {"x", "-t", "65"},
                                             {"x", "-t", "3x"},
                                             {"x", "-t", ""},
                                             {"x", "-t", " 3"},
                                             {"x", "-t", "3.0"},
                                             {"x", "-t", "99999999999999999999"},
                                             {"x", "--temp", "nan"},
                                             {"x", "--temp", "inf"},
                                             {"x", "--temp", "0x1p1"},
                                             {"x", "--temp", "1,5"},
                                             {"x", "--temp", "-1"},
                                             {"x", "--bytes", "-1"},
                                             {"x", "--kind", "c"},
                                             {"x", "--stop", ""},
                                             {"x", "-m", "y"},
                                             {"-m", "y", "x"},
                                             {"x", "--verbose=1"}}) {
    CAPTURE(words);
    CHECK(parse(words).end == 2);
  }
}

TEST_CASE("sizes are bytes or powers of 1024") {
  const auto size = [](std::string_view text) {
    uint64_t bytes = 0;
    return parse_size(text, &bytes) ? std::optional<uint64_t>(bytes) : std::nullopt;
  };
  CHECK(size("0") == 0);
  CHECK(size("20480") == 20480);
  CHECK(size("1K") == 1024);
  CHECK(size("700M") == 700ull << 20);
  CHECK(size("900MiB") == 900ull << 20);
  CHECK(size("1.5G") == 3ull << 29);
  CHECK(size("2g") == 2ull << 30);
  CHECK(size("1T") == 1ull << 40);
  for (const char* bad : {"", "M", "1.5", "-1", "+1", "1 M", "1MB", "1X", "1KK", "1.2.3G", "1e3",
                          "99999999999999999999", "20000000000G", "nan", ".M", "9999999999.5T"}) {
    CAPTURE(bad);
    CHECK(!size(bad));
  }
}

TEST_CASE("the sizes of a table are all in the unit that suits its largest") {
  CHECK(SizeUnit(0).text(0) == "0 bytes");
  CHECK(SizeUnit(1536).text(1023) == "1.00 KiB");
  CHECK(SizeUnit(99ull << 20).text(1 << 20) == "1.00 MiB");
  CHECK(SizeUnit(2ull << 30).text(700ull << 20) == "700.0 MiB");
  CHECK(SizeUnit(12ull << 30).text(1ull << 30) == "1.00 GiB");
  CHECK(SizeUnit(UINT64_MAX).text(UINT64_MAX) == "17179869184.0 GiB");
}

TEST_CASE("a size that may be automatic takes the word auto, others do not") {
  std::optional<uint64_t> size = 7, other = 7;
  const CommandLine command = {"test",
                               "",
                               "",
                               {{"--memory", "SIZE|auto", "", SizeTarget{&size, true}},
                                {"--b", "", "", SizeTarget{&other}}}};
  char name[] = "test", memory[] = "--memory=auto", bytes[] = "--b=auto", wrong[] = "--memory=car";
  char* right_line[] = {name, memory};
  CHECK(!parse_args(command, 2, right_line));
  CHECK(!size);
  char* wrong_line[] = {name, bytes};
  CHECK(parse_args(command, 2, wrong_line) == 2);
  char* other_word[] = {name, wrong};
  CHECK(parse_args(command, 2, other_word) == 2);
}

TEST_CASE("numbers are read in full or not at all") {
  double value = 0;
  CHECK(parse_number("1e-3", &value));
  CHECK(value == 1e-3);
  for (const char* bad : {"", " 1", "1 ", "1e999", "--1", "1f", "infinity", "."}) {
    CAPTURE(bad);
    CHECK(!parse_number(bad, &value));
  }
}

TEST_CASE("the nearest name is the one with the fewest edits, if they are few") {
  CHECK(nearest_name("--tmep", {"--model", "--temp", "--top-k"}) == ", the nearest is --temp");
  CHECK(nearest_name("--pro", {"--io", "--prompt"}) == ", the nearest is --prompt");
  CHECK(nearest_name("quantise", {"chat", "quantize", "run"}) == ", the nearest is quantize");
  CHECK(nearest_name("--n-gpu-layers", {"--planes", "--head-planes", "--no-pressure"}).empty());
  CHECK(nearest_name("-ngl", {"-n", "-t"}).empty());
  CHECK(nearest_name("/nosuch", {"/system", "/undo"}).empty());
}

}  // namespace
}  // namespace trit
