// The JSON reader: what it accepts, what it refuses, and what it reads out of it.
#include "model_format/json.h"

#include <doctest/doctest.h>

#include "model_format/mapped_file.h"
#include "tests/support/skip.h"

namespace trit {
namespace {

std::unique_ptr<JsonDocument> parse(std::string_view text) {
  auto document = JsonDocument::parse(text, "test.json");
  REQUIRE_MESSAGE(document.ok(), document.status().message());
  return std::move(document.value());
}

std::string error_of(std::string_view text) {
  const auto document = JsonDocument::parse(text, "test.json");
  if (document.ok()) return "";
  CHECK(document.status().code() == Code::kMalformed);
  return document.status().message();
}

}  // namespace

TEST_CASE("JSON that RFC 8259 allows is accepted") {
  const char* texts[] = {"null",
                         " true ",
                         "\t[\r\n]",
                         "{}",
                         "0",
                         "-0",
                         "-0.5e-7",
                         "1E+2",
                         "9e307",
                         "0.1e-99999",
                         "\"\"",
                         "\"\\u0000\"",
                         "\"\\ud83d\\ude00\"",
                         "\"\xf0\x9f\x98\x80\"",
                         "\"\x7f\"",
                         "[[],{},\"\",0,null]",
                         "{\"\":1,\" \":2}",
                         "{\"a\":{\"a\":{\"a\":1}}}",
                         "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                         "123456789012345678901234567890"};
  for (const char* text : texts) CHECK_MESSAGE(error_of(text).empty(), text);
}

TEST_CASE("JSON that is not strict is refused with an offset") {
  const struct {
    std::string_view text;
    const char* where;
  } cases[] = {{"", "offset 0"},
               {" ", "offset 1"},
               {"nul", "offset 0"},
               {"nullx", "offset 4"},
               {"NaN", "offset 0"},
               {"-Infinity", "offset 0"},
               {"Infinity", "offset 0"},
               {"01", "offset 1"},
               {"-", "offset 0"},
               {"+1", "offset 0"},
               {".5", "offset 0"},
               {"1.", "offset 2"},
               {"1e", "offset 2"},
               {"1e+", "offset 3"},
               {"0x10", "offset 1"},
               {"1e308", "offset 0"},
               {"[1e99999999999999999999]", "offset 1"},
               {"[1,]", "offset 3"},
               {"[1 2]", "offset 3"},
               {"[", "offset 1"},
               {"[1", "offset 2"},
               {"]", "offset 0"},
               {"{\"a\"}", "offset 4"},
               {"{\"a\":}", "offset 5"},
               {"{\"a\":1,}", "offset 7"},
               {"{a:1}", "offset 1"},
               {"{'a':1}", "offset 1"},
               {"{\"a\":1", "offset 6"},
               {"// no\n1", "offset 0"},
               {"\xef\xbb\xbf{}", "offset 0"},
               {"\"", "offset 1"},
               {"\"\n\"", "offset 1"},
               {"\"\\", "offset 2"},
               {"\"\\x41\"", "offset 1"},
               {"\"\\u12\"", "offset 1"},
               {"\"\\u12g4\"", "offset 1"},
               {"\"\\ud800\"", "offset 1"},
               {"\"\\ud800\\n\"", "offset 1"},
               {"\"\\ud800\\u0041\"", "offset 1"},
               {"\"\\udc00\"", "offset 1"},
               {"\"\xff\"", "offset 1"},
               {"\"\xc0\x80\"", "offset 1"},
               {"\"\xed\xa0\x80\"", "offset 1"},
               {"\"\xf4\x90\x80\x80\"", "offset 1"},
               {"\"\xe2\x82\"", "offset 1"},
               {std::string_view("\0", 1), "offset 0"},
               {std::string_view("1\0", 2), "offset 1"},
               {"{}{}", "offset 2"},
               {"{\"a\":1,\"b\":2,\"a\":3}", "offset 13"},
               {"{\"a\":1,\"\\u0061\":3}", "offset 7"}};
  for (const auto& c : cases) {
    const std::string error = error_of(c.text);
    CAPTURE(std::string(c.text));
    CAPTURE(error);
    CHECK(error.find(std::string(c.where) + ":") != std::string::npos);
    CHECK(error.rfind("test.json: JSON at ", 0) == 0);
  }
}

TEST_CASE("nesting goes to 64 levels and a million brackets are one error") {
  CHECK(error_of(std::string(64, '[') + std::string(64, ']')).empty());
  CHECK(error_of(std::string(65, '[') + std::string(65, ']')).find("64 levels") !=
        std::string::npos);
  CHECK_FALSE(error_of(std::string(1000000, '[')).empty());
}

TEST_CASE("values are found by key and by index, and absent ones chain") {
  const auto document =
      parse(R"({"b":[10,-20.5,"x\ny"],"a":{"inner":true},"c":null,"long":18446744073709551615})");
  const JsonValue root = document->root();
  CHECK(root.size() == 4);
  CHECK(root.key(0) == "b");
  CHECK(root[0].is_array());
  CHECK(root["b"][0].integer() == 10);
  CHECK(root["b"][1].number() == -20.5);
  CHECK_FALSE(root["b"][1].integer().has_value());
  CHECK(root["b"][2].string() == "x\ny");
  CHECK(root["b"][2].text() == "\"x\\ny\"");
  CHECK(root["b"].offset() == 5);
  CHECK(root["a"]["inner"].boolean());
  CHECK(root["c"].is_null());
  CHECK(root["c"].exists());
  CHECK_FALSE(root["d"].exists());
  CHECK_FALSE(root["d"]["e"][7]["f"].exists());
  CHECK_FALSE(root["b"][3].exists());
  CHECK(root["long"].unsigned_integer() == UINT64_MAX);
  CHECK_FALSE(root["long"].integer().has_value());
}

TEST_CASE("integers are exact, and only numbers without fraction or exponent") {
  const auto document = parse("[9223372036854775807,-9223372036854775808,-0,1e3,1.0,-1,\"1\"]");
  const JsonValue root = document->root();
  CHECK(root[0].integer() == INT64_MAX);
  CHECK(root[1].integer() == INT64_MIN);
  CHECK(root[2].integer() == 0);
  CHECK_FALSE(root[3].integer().has_value());
  CHECK(root[3].number() == 1000);
  CHECK_FALSE(root[4].integer().has_value());
  CHECK_FALSE(root[5].unsigned_integer().has_value());
  CHECK_FALSE(root[6].integer().has_value());
}

TEST_CASE("numbers are rounded to the nearest double") {
  const auto document = parse("[0.1,1e-5,1000000.0,3.4028234663852886e+38,5e-324,1e-400,1e23]");
  const JsonValue root = document->root();
  CHECK(root[0].number() == 0.1);
  CHECK(root[1].number() == 1e-5);
  CHECK(root[2].number() == 1e6);
  CHECK(root[3].number() == 3.4028234663852886e+38);
  CHECK(root[5].number() == 0);
  CHECK(root[6].number() == 1e23);
}

TEST_CASE("escapes become UTF-8") {
  const auto document = parse(R"(["\u0041\u00e9\u20ac\ud83d\ude00","\u0000","plain"])");
  CHECK(document->root()[0].string() == "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(document->root()[1].string() == std::string_view("\0", 1));
  CHECK(document->root()[2].string() == "plain");
}

TEST_CASE("large objects are searched and checked for twins without comparing all pairs") {
  std::string text = "{";
  constexpr size_t kMembers = 200000;
  for (size_t i = 0; i < kMembers; ++i)
    text += "\"name " + std::to_string(i) + "\":" + std::to_string(i) + ",";
  const std::string whole = text + "\"last\":0}";
  const auto document = parse(whole);
  for (size_t i = 0; i < kMembers; i += 997)
    CHECK(document->root()["name " + std::to_string(i)].integer() == static_cast<int64_t>(i));
  CHECK(error_of(text + "\"name 77\":0}").find("\"name 77\"") != std::string::npos);
}

TEST_CASE("quoting for JSON output escapes what must be and survives a round trip") {
  CHECK(json_quoted("a\"b\\c\n\x01\x7f") == "\"a\\\"b\\\\c\\n\\u0001\\u007f\"");
  CHECK(json_quoted("\xff") == "\"\\ufffd\"");
  const std::string text = "tab\t \xf0\x9f\x98\x80 \xc3\xa9 / \r";
  const std::string literal = json_quoted(text);
  CHECK(parse(literal)->root().string() == text);
}

TEST_CASE("a real tokenizer.json of eleven megabytes is read") {
  if (shared_data().empty()) return skip("no ../shared/data");
  const std::string path = shared_data() + "/tokenizers/qwen3.tokenizer.json";
  const auto file = MappedFile::open(path);
  if (!file.ok()) return skip("no " + path);
  const auto document = parse({reinterpret_cast<const char*>(file->data()), file->size()});
  const JsonValue vocab = document->root()["model"]["vocab"];
  CHECK(vocab.size() == 151643);
  CHECK(vocab["hello"].integer() == 14990);
  CHECK(document->root()["added_tokens"][0]["content"].string() == "<|endoftext|>");
}

}  // namespace trit
