// The safetensors reader against damaged and hostile files, and the values it gives back.
#include "model_format/convert/safetensors.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/support/tiny_checkpoint.h"

namespace trit {
namespace {

Status open_bytes(const std::string& bytes) {
  const TempDir dir;
  write_file(dir.path("model.safetensors"), bytes);
  return Safetensors::open(dir.folder()).status();
}

std::string small_file() {
  return safetensors_bytes(
      {float_tensor("a", "F32", {2, 2}, {1, 2, 3, 4}), float_tensor("b", "BF16", {3}, {5, 6, 7})});
}

struct Hostile {
  const char* header;
  size_t data_bytes;
  const char* message;  // a part of it
};

// An entry of one tensor "a".
#define ENTRY(dtype, shape, offsets) \
  "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

constexpr Hostile kHostile[] = {
    {"", 0, "expected '{', found nothing"},
    {"[]", 0, "expected '{'"},
    {" {}", 0, "expected '{'"},
    {"\xef\xbb\xbf{}", 0, "expected '{'"},
    {"{", 0, ""},
    {"{}", 1, "file size"},
    {"{}x", 0, ""},
    {R"({"a":1})", 0, "an object"},
    {R"({"a":{}})", 0, "dtype"},
    {ENTRY("F32", "[1]", "[0,4]"), 3, "within 3 bytes"},
    {ENTRY("F32", "[1]", "[0,4]"), 5, "file size"},
    {ENTRY("F32", "[2]", "[0,4]"), 4, "8 bytes for F32 [2]"},
    {ENTRY("F32", "[1]", "[4,0]"), 4, "data_offsets"},
    {ENTRY("F32", "[1]", "[4,8]"), 8, "begin where"},
    {ENTRY("F32", "[1]", "[0,4,8]"), 4, "two offsets"},
    {ENTRY("F32", "[1]", "[-4,0]"), 4, "data_offsets"},
    {ENTRY("F32", "[1]", "[0,4.0]"), 4, "data_offsets"},
    {ENTRY("F32", "[1e0]", "[0,4]"), 4, "shape"},
    {ENTRY("F32", "[-1]", "[0,4]"), 4, "shape"},
    {ENTRY("F32", "1", "[0,4]"), 4, "shape"},
    {ENTRY("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "shape"},
    {ENTRY("F32", "[18446744073709551616]", "[0,4]"), 4, "shape"},
    {ENTRY("F32", "[4194305,4194305,211106198978564]", "[0,16]"), 16, "2^64"},
    {ENTRY("U8", "[4194305,4194305,211106198978564]", "[0,4]"), 4, "2^64"},
    {ENTRY("F32", "[0]", "[0,4]"), 4, "0 bytes for F32"},
    {R"({"a":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})", 4, "dtype"},
    {R"({"a":{"dtype":"F32","dtype":"U8","shape":[1],"data_offsets":[0,4]}})", 4, ""},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
     R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
     2, ""},
    {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
     R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
     3, "begin where"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
     R"("b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
     3, "begin where"},
    {R"({"__metadata__":1})", 0, "__metadata__"},
    {R"({"__metadata__":{"a":1}})", 0, "a string"},
};

void write_shards(const TempDir& dir, const std::string& index) {
  write_file(dir.path("one"), safetensors_bytes({float_tensor("a", "F32", {1}, {1})}));
  write_file(dir.path("two"), safetensors_bytes({float_tensor("b", "F32", {1}, {2})}));
  write_file(dir.path("again"), safetensors_bytes({float_tensor("a", "F32", {1}, {3})}));
  write_file(dir.path("model.safetensors.index.json"), index);
}

}  // namespace

TEST_CASE("hostile safetensors headers are malformed and say what is wrong") {
  for (const Hostile& h : kHostile) {
    CAPTURE(h.header);
    const Status status = open_bytes(safetensors_bytes(h.header, h.data_bytes));
    CHECK(status.code() == Code::kMalformed);
    CAPTURE(status.message());
    CHECK(status.message().find(h.message) != std::string::npos);
    CHECK(status.message().find('\n') == std::string::npos);
    CHECK(status.message().size() < 400);
  }
}

TEST_CASE("a header length that cannot be is malformed") {
  const std::string rest(64, ' ');
  for (const uint64_t length : {uint64_t{65}, uint64_t{100000001}, uint64_t{1} << 63, UINT64_MAX}) {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 255);
    CHECK(open_bytes(bytes + rest).code() == Code::kMalformed);
  }
}

TEST_CASE("every cut of a safetensors file is malformed") {
  const std::string whole = small_file();
  CHECK(open_bytes(whole).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(open_bytes(whole.substr(0, size)).code() == Code::kMalformed);
  }
  CHECK(open_bytes(whole + '\0').code() == Code::kMalformed);
}

TEST_CASE("a deeply nested header is refused and not followed") {
  const std::string deep = "{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}";
  CHECK(open_bytes(safetensors_bytes(deep, 0)).code() == Code::kMalformed);
}

TEST_CASE("values of F32, F16 and BF16 tensors come back as floats") {
  const TempDir dir;
  const std::vector<float> values = {0.0f, -0.0f, 1.5f, -2.25f, 0.0078125f, 448.0f};
  write_file(dir.path("model.safetensors"),
             safetensors_bytes({float_tensor("x", "F32", {2, 3}, values),
                                float_tensor("y", "F16", {2, 3}, values),
                                float_tensor("z", "BF16", {2, 3}, values)}));
  auto file = Safetensors::open(dir.folder());
  REQUIRE(file.ok());
  CHECK(file->tensors().size() == 3);
  for (const char* name : {"x", "y", "z"}) {
    const Tensor* t = file->find(name);
    REQUIRE(t);
    std::vector<float> row(3);
    REQUIRE(file->read(*t, 3, 3, 3, row.data()).ok());
    for (size_t i = 0; i < 3; ++i) CHECK(row[i] == values[3 + i]);
  }
  CHECK(file->find("w") == nullptr);
}

TEST_CASE("a NaN or infinite weight is named by row and column") {
  for (const char* dtype : {"F32", "F16", "BF16"}) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      const TempDir dir;
      write_file(dir.path("model.safetensors"),
                 safetensors_bytes({float_tensor("w", dtype, {2, 3}, {1, 2, 3, 4, 5, bad})}));
      auto file = Safetensors::open(dir.folder());
      REQUIRE(file.ok());
      float row[3];
      CHECK(file->read(*file->find("w"), 0, 3, 3, row).ok());
      const Status status = file->read(*file->find("w"), 3, 3, 3, row);
      CHECK(status.code() == Code::kMalformed);
      CHECK(status.message().find("\"w\" at [1, 2]") != std::string::npos);
    }
  }
}

TEST_CASE("types that are no floats can be listed but not read") {
  const TempDir dir;
  write_file(dir.path("model.safetensors"), safetensors_bytes(ENTRY("F64", "[1]", "[0,8]"), 8));
  auto file = Safetensors::open(dir.folder());
  REQUIRE(file.ok());
  const Status status = file->check_readable(*file->find("a"));
  CHECK(status.code() == Code::kUnsupported);
  CHECK(status.message().find("F64") != std::string::npos);
}

TEST_CASE("shards are joined as the index says") {
  const TempDir dir;
  write_shards(dir, R"({"weight_map":{"a":"one","b":"two"}})");
  auto file = Safetensors::open(dir.folder());
  REQUIRE(file.ok());
  float x = 0;
  CHECK(file->read(*file->find("b"), 0, 1, 1, &x).ok());
  CHECK(x == 2);
}

TEST_CASE("an index that disagrees with its shards or leaves the folder is refused") {
  const struct {
    const char* index;
    Code code;
  } cases[] = {
      {R"({"weight_map":{"a":"one"}})", Code::kOk},
      {R"({"weight_map":{"a":"one","b":"one"}})", Code::kMalformed},
      {R"({"weight_map":{"a":"two","b":"one"}})", Code::kMalformed},
      {R"({"weight_map":{"b":"two","c":"two"}})", Code::kMalformed},
      {R"({"weight_map":{"c":"two"}})", Code::kMalformed},
      {R"({"weight_map":{"a":"one","b":"again"}})", Code::kMalformed},
      {R"({"weight_map":{"a":"one","a":"again"}})", Code::kMalformed},
      {R"({"weight_map":{"a":"../one"}})", Code::kMalformed},
      {R"({"weight_map":{"a":"/etc/passwd"}})", Code::kMalformed},
      {R"({"weight_map":{"a":".."}})", Code::kMalformed},
      {R"({"weight_map":{"a":""}})", Code::kMalformed},
      {R"({"weight_map":{"a":"one\u0000"}})", Code::kMalformed},
      {R"({"weight_map":{"a":1}})", Code::kMalformed},
      {R"({"weight_map":{}})", Code::kMalformed},
      {R"({"weight_map":[]})", Code::kMalformed},
      {R"({})", Code::kMalformed},
      {R"({"weight_map":{"a":"absent"}})", Code::kIo},
  };
  for (const auto& c : cases) {
    CAPTURE(c.index);
    const TempDir dir;
    write_shards(dir, c.index);
    CHECK(Safetensors::open(dir.folder()).status().code() == c.code);
  }
}

TEST_CASE("a FIFO or a folder in place of weights is an error and does not block") {
  const TempDir dir;
  REQUIRE(mkfifo(dir.path("model.safetensors").c_str(), 0600) == 0);
  CHECK(Safetensors::open(dir.folder()).status().code() == Code::kIo);
  const TempDir other;
  REQUIRE(mkdir(other.path("model.safetensors").c_str(), 0700) == 0);
  CHECK(Safetensors::open(other.folder()).status().code() == Code::kIo);
}

TEST_CASE("missing weights are an I/O error, weights in another form unsupported") {
  const TempDir dir;
  CHECK(Safetensors::open(dir.folder()).status().code() == Code::kIo);
  write_file(dir.path("pytorch_model.bin"), "x");
  CHECK(Safetensors::open(dir.folder()).status().code() == Code::kUnsupported);
}

TEST_CASE("a lone file of weights may have another name, of two none is chosen") {
  const TempDir dir;
  write_file(dir.path("weights.safetensors"), small_file());
  CHECK(Safetensors::open(dir.folder()).ok());
  write_file(dir.path("more.safetensors"), small_file());
  const Status two = Safetensors::open(dir.folder()).status();
  CHECK(two.code() == Code::kIo);
  CHECK(two.message().find("found 2 *.safetensors") != std::string::npos);
}

TEST_CASE("a shard without its index and the others is no model") {
  const TempDir dir, whole;
  write_file(dir.path("model-00001-of-00002.safetensors"), small_file());
  const Status shard = Safetensors::open(dir.folder()).status();
  CHECK(shard.code() == Code::kIo);
  CHECK(shard.message().find("found model-00001-of-00002.safetensors, one of several") !=
        std::string::npos);
  write_file(whole.path("model-00001-of-00001.safetensors"), small_file());
  CHECK(Safetensors::open(whole.folder()).ok());
}

TEST_CASE("a pointer of git-lfs is called that") {
  const TempDir dir;
  write_file(dir.path("model.safetensors"),
             "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345678\n");
  const Status status = Safetensors::open(dir.folder()).status();
  CHECK(status.code() == Code::kMalformed);
  CHECK(status.message().find("git lfs pull") != std::string::npos);
}

}  // namespace trit
