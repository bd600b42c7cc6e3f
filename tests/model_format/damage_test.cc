// Damage of every kind to small files: each single bit flip and each cut is found, whatever it
// hits; nothing crashes. The files hold all there is: base, border, residual blocks, tokenizer,
// biases.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "model_format/reader.h"
#include "model_format/verify.h"
#include "tests/model_format/second_reader.h"
#include "tests/support/temp_dir.h"

namespace trit {
namespace {

// A file whose bytes can be changed in place.
class Patient {
 public:
  explicit Patient(const std::string& bytes) {
    write_file(path, bytes);
    fd_ = open(path.c_str(), O_RDWR);
    REQUIRE(fd_ >= 0);
  }
  ~Patient() { close(fd_); }
  void put(size_t offset, uint8_t byte) {
    REQUIRE(pwrite(fd_, &byte, 1, static_cast<off_t>(offset)) == 1);
  }
  void cut(size_t size) { REQUIRE(ftruncate(fd_, static_cast<off_t>(size)) == 0); }

  TempDir folder;
  std::string path = folder.path("patient.trit");

 private:
  int fd_;
};

Code verify_code(const std::string& path) {
  const auto report = verify_file(path, {});
  return report.ok() ? Code::kOk : report.status().code();
}

Code verify_code_of(const std::string& bytes) {
  const Patient patient(bytes);
  return verify_code(patient.path);
}

TinyModel with_residuals() {
  TinyModel model = mini_model();
  model.planes = 3;
  model.config.qkv_bias = true;
  return model;
}

// Flips every bit of `bytes` in turn and returns how many flips verify does not report with code 3
// (in magic and major version: 4).
size_t undetected_flips(const std::string& bytes) {
  constexpr size_t kVersionEnd = 10;
  Patient patient(bytes);
  size_t undetected = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(bytes[i]);
    for (int bit = 0; bit < 8; ++bit) {
      patient.put(i, static_cast<uint8_t>(byte ^ (1 << bit)));
      const Code expected = i < kVersionEnd ? Code::kUnsupported : Code::kMalformed;
      undetected += verify_code(patient.path) != expected;
    }
    patient.put(i, byte);
  }
  CHECK(verify_code(patient.path) == Code::kOk);
  return undetected;
}

}  // namespace

TEST_CASE("every single bit flip of a file with residual blocks is reported") {
  CHECK(undetected_flips(mini_file(with_residuals())) == 0);
}

TEST_CASE("every single bit flip of a dense file is reported") {
  TinyModel model = mini_model();
  model.encoding = Encoding::kDenseBf16;
  model.head_encoding = Encoding::kNative;
  CHECK(undetected_flips(mini_file(model)) == 0);
}

TEST_CASE("every cut is malformed for verify, and for running unless it leaves the base whole") {
  const std::string bytes = mini_file(with_residuals());
  Patient patient(bytes);
  const auto whole = ModelReader::open(patient.path);
  REQUIRE(whole.ok());
  const uint64_t base_end = whole->base_end(), head_bytes = whole->head_bytes();
  std::vector<uint64_t> ends;
  for (const BlockInfo& b : whole->blocks()) ends.push_back(b.offset + b.bytes);
  size_t wrong = 0, unnamed = 0;
  for (size_t size = bytes.size(); size-- > 0;) {
    patient.cut(size);
    wrong += verify_code(patient.path) != Code::kMalformed;
    for (const IoMode io : {IoMode::kMap, IoMode::kRead}) {
      const auto model = ModelReader::open(patient.path, io);
      if (size < base_end) {
        // The head alone can be looked at; nothing can run.
        wrong += model.ok() != (size >= head_bytes);
        const Status refused = model.ok() ? model->check_base() : model.status();
        wrong += refused.code() != Code::kMalformed;
        // After the header is whole, the bytes needed and present are named.
        const uint64_t needed = model.ok() ? base_end : head_bytes;
        if (size >= 352)
          unnamed += refused.message().find(std::to_string(needed)) == std::string::npos ||
                     refused.message().find(std::to_string(size)) == std::string::npos;
      } else {
        const auto blocks = std::upper_bound(ends.begin(), ends.end(), size) - ends.begin();
        wrong += !model.ok() || model->whole_blocks() != static_cast<size_t>(blocks);
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(unnamed == 0);
}

TEST_CASE("verify names the first block that a cut file lacks") {
  const std::string bytes = mini_file(with_residuals());
  const Patient patient(bytes.substr(0, bytes.size() - 1));
  const auto report = verify_file(patient.path, {});
  REQUIRE_FALSE(report.ok());
  CHECK(report.status().message().find("block layers.0.down/3") != std::string::npos);
}

TEST_CASE("bytes after the end are malformed, zeros too") {
  const std::string bytes = mini_file(with_residuals());
  for (const size_t more : {1u, 2u, 7u, 8u, 64u, 4095u, 4096u, 1u << 20}) {
    for (const char value : {'\0', '\x79'}) {
      const Patient patient(bytes + std::string(more, value));
      CHECK(verify_code(patient.path) == Code::kMalformed);
      CHECK_FALSE(ModelReader::open(patient.path).ok());
    }
  }
}

TEST_CASE("blocks of equal size that are swapped or copied are found, with their hashes too") {
  const SecondReader whole(mini_file(with_residuals()));
  REQUIRE(verify_code_of(whole.bytes) == Code::kOk);
  const SpecRecord& table = spec("Block record");
  size_t pairs = 0;
  for (uint64_t i = 0; i < whole.records("Block record"); ++i) {
    for (uint64_t j = 0; j < i; ++j) {
      const uint64_t a = whole.record("Block record", i), b = whole.record("Block record", j);
      const uint64_t size = whole.get(table["bytes"], a);
      if (size != whole.get(table["bytes"], b)) continue;
      ++pairs;
      const uint64_t at = whole.get(table["offset"], a), bt = whole.get(table["offset"], b);
      SecondReader copied = whole;
      copied.bytes.replace(at, size, whole.bytes, bt, size);
      copied.set(table["hash"], a, whole.get(table["hash"], b));
      copied.reseal();
      CHECK(verify_code_of(copied.bytes) == Code::kMalformed);
      SecondReader swapped = copied;
      swapped.bytes.replace(bt, size, whole.bytes, at, size);
      swapped.set(table["hash"], b, whole.get(table["hash"], a));
      swapped.reseal();
      CHECK(verify_code_of(swapped.bytes) == Code::kMalformed);
    }
  }
  CHECK(pairs > 20);
}

TEST_CASE("the head of one file with the blocks of another is found, with their hashes too") {
  TinyModel model = with_residuals();
  const SecondReader first(mini_file(model));
  model.seed = 2;
  const SecondReader second(mini_file(model));
  REQUIRE(first.bytes.size() == second.bytes.size());
  const uint64_t head = first.header("head_bytes");
  SecondReader spliced(first.bytes.substr(0, head) + second.bytes.substr(head));
  CHECK(verify_code_of(spliced.bytes) == Code::kMalformed);
  const uint64_t table = first.section(5), bytes = first.section_bytes(5);
  spliced.bytes.replace(table, bytes, second.bytes, table, bytes);
  spliced.reseal();
  CHECK(verify_code_of(spliced.bytes) == Code::kMalformed);
}

TEST_CASE("a run of zeros in place of any 64 bytes is found") {
  const std::string bytes = mini_file(with_residuals());
  for (size_t at = 0; at + 64 <= bytes.size(); at += 64) {
    std::string holed = bytes;
    holed.replace(at, 64, 64, '\0');
    CHECK(verify_code_of(holed) == (holed == bytes ? Code::kOk
                                    : at == 0      ? Code::kUnsupported
                                                   : Code::kMalformed));
  }
}

}  // namespace trit
