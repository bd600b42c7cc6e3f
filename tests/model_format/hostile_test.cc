// Files that are wrong on purpose: every number of every record set to values that break parsers,
// with all hashes made right again, so that the checks stand alone. FORMAT.md's tables say which
// fields there are; each refusal must name the field.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "model_format/checksum.h"
#include "model_format/reader.h"
#include "model_format/tokenizer_section.h"
#include "model_format/verify.h"
#include "tests/model_format/second_reader.h"
#include "tests/support/temp_dir.h"

namespace trit {
namespace {

TinyModel hostile_base() {
  TinyModel model = mini_model();
  model.planes = 3;
  model.config.tied_head = false;
  model.config.qk_norm = true;
  return model;
}

Status open_status(const std::string& bytes) {
  static const TempDir folder;
  const std::string path = folder.path("hostile.trit");
  write_file(path, bytes);
  const auto model = ModelReader::open(path);
  return model.ok() ? Status() : model.status();
}

Status verify_status(const std::string& bytes) {
  static const TempDir folder;
  const std::string path = folder.path("hostile.trit");
  write_file(path, bytes);
  const auto report = verify_file(path, {});
  return report.ok() ? Status() : report.status();
}

bool names(const Status& status, const std::string& text) {
  return status.message().find(text) != std::string::npos;
}

// Other values that make another, valid file: another group where it gives the same sizes, and a
// text that ends in zeros that were padding.
bool is_harmless(const std::string& heading, uint64_t i, const std::string& field) {
  if (heading == "Section entry") return field == "bytes" && i >= 5 && i <= 7;
  return heading == "Matrix record" && field == "group";
}

// Values a hostile file may hold and be valid all the same: for these fields anything in a range,
// not what the other fields ask for, is right.
bool is_allowed(const std::string& heading, const std::string& field, int64_t value) {
  const std::string name = heading + "." + field;
  const auto within = [&](int64_t low, int64_t high) { return value >= low && value <= high; };
  if (name == "Config record.max_positions") return within(1, kMaxContext);
  if (name == "Config record.activation") return within(0, 1);
  if (name == "Config record.chat_family") return within(0, 8);
  if (name == "Config record.bos" || name == "Config record.eos") return within(-1, 17);
  if (name == "Generation record.do_sample") return within(0, 1);
  if (name == "Generation record.top_k") return within(-1, kMaxVocab);
  if (name == "Header.version_minor") return true;
  return false;
}

// In-range values of these contradict another field, which is then the one that is named.
bool decides_others(const std::string& heading, const std::string& field) {
  static const std::set<std::string> names = {
      "Header.sections",        "Section entry.bytes",    "Config record.n_layers",
      "Config record.hidden",   "Config record.n_heads",  "Config record.n_kv_heads",
      "Config record.head_dim", "Config record.ffn",      "Config record.vocab",
      "Config record.features", "Matrix record.encoding", "Matrix record.group",
      "Matrix record.planes",   "Block record.matrix",    "Matrix record.base_planes"};
  return names.count(heading + "." + field) != 0;
}

void reseal_after(SecondReader* file, const std::string& heading, const std::string& field) {
  if (heading == "Header" && field == "file_id") {
    file->reseal_sections();
  } else if (heading == "Header" && field != "header_hash") {
    file->set(spec("Header")["header_hash"], 0, file->header_hash());
  } else if (heading == "Section entry" && field == "hash") {
    file->set(spec("Header")["header_hash"], 0, file->header_hash());
  } else if (heading != "Header") {
    file->reseal();
  }
}

void try_field(const SecondReader& whole, const std::string& heading, uint64_t i,
               const SpecField& f) {
  const uint64_t at = whole.record(heading, i), value = whole.get(f, at);
  const uint64_t all = f.bytes() == 8 ? UINT64_MAX : (uint64_t{1} << (8 * f.bytes())) - 1;
  const uint64_t extremes[] = {0,          0x7fff,     0x7fffffff, 0x80000000,     0xffffffff,
                               1ull << 32, 1ull << 62, INT64_MAX,  1ull << 63,     UINT64_MAX,
                               value - 1,  value + 1,  value ^ 64, UINT64_MAX - 63};
  for (const uint64_t hostile : extremes) {
    if ((hostile & all) == value) continue;
    SecondReader file = whole;
    file.set(f, at, hostile);
    // Fields of four bytes that are not signed in the table have no negative values.
    const int64_t number =
        f.type == "i32" ? static_cast<int32_t>(hostile) : static_cast<int64_t>(hostile & all);
    // A header that claims sections it has no room for cannot be sealed.
    if (heading == "Header" && (f.name == "sections" || f.name == "header_bytes")) {
      CHECK_FALSE(open_status(file.bytes).ok());
      continue;
    }
    reseal_after(&file, heading, f.name);
    const Status status = open_status(file.bytes);
    CAPTURE(heading);
    CAPTURE(i);
    CAPTURE(f.name);
    CAPTURE(hostile);
    CAPTURE(status.message());
    if (status.ok() && is_harmless(heading, i, f.name)) continue;
    CHECK(status.ok() == is_allowed(heading, f.name, number));
    if (status.ok() || decides_others(heading, f.name)) continue;
    CHECK(names(status, f.name == "hash" ? "hash" : f.name));
    CHECK((status.code() == Code::kMalformed || status.code() == Code::kUnsupported));
  }
}

}  // namespace

TEST_CASE("every field of every record refuses hostile values by name, hashes made right") {
  const SecondReader whole(mini_file(hostile_base()));
  REQUIRE(verify_status(whole.bytes).ok());
  SecondReader resealed = whole;
  resealed.reseal(true);
  REQUIRE(resealed.bytes == whole.bytes);
  for (const std::string heading : {"Header", "Section entry", "Config record", "Generation record",
                                    "Matrix record", "Vector record", "Block record"}) {
    for (uint64_t i = 0; i < whole.records(heading); ++i) {
      for (const SpecField& f : spec(heading).fields) {
        if (f.type[0] == 'f' || f.name == "magic") continue;
        if (heading == "Block record" && f.name == "hash") continue;  // verify's business
        try_field(whole, heading, i, f);
      }
    }
  }
}

TEST_CASE("random edits of the head with hashes made right never crash") {
  const SecondReader whole(mini_file(hostile_base()));
  const uint64_t head = whole.header("head_bytes");
  uint64_t random = 1;
  const auto below = [&](uint64_t n) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return (random >> 33) % n;
  };
  size_t refused = 0;
  for (int i = 0; i < 1500; ++i) {
    SecondReader file = whole;
    // Words rather than bytes: fields are words, and small ones get past the first check.
    for (uint64_t edits = 1 + below(3); edits > 0; --edits) {
      const uint64_t at = 384 + below((head - 384) / 4) * 4;
      file.set({"", "u32", 0}, at, below(2) ? below(64) : below(UINT32_MAX));
    }
    file.reseal();
    const Status status = open_status(file.bytes);
    refused += !status.ok();
    if (status.ok()) CHECK(verify_status(file.bytes).code() != Code::kInternal);
  }
  CHECK(refused > 500);
}

TEST_CASE("floats of the head refuse NaN, infinity and values out of range by name") {
  const SecondReader whole(mini_file(hostile_base()));
  const struct {
    const char *heading, *field;
    std::vector<float> bad;
  } fields[] = {
      {"Config record", "norm_eps", {0, -1e-5f, 0.011f, NAN, INFINITY}},
      {"Config record", "rope_factor", {0, -1, 1025, NAN, INFINITY}},
      {"Generation record", "temperature", {-2, 1001, NAN, -INFINITY}},
      {"Generation record", "top_p", {-0.5f, 1.5f, NAN, INFINITY}},
      {"Generation record", "min_p", {-0.5f, 1.5f, NAN, INFINITY}},
      {"Generation record", "repeat_penalty", {-0.5f, 1001, NAN, INFINITY}},
      {"Block record", "gain", {1, NAN, INFINITY}},
      {"Block record", "quality", {-1, INFINITY, -NAN}},
  };
  for (const auto& field : fields) {
    for (const float value : field.bad) {
      SecondReader file = whole;
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      file.set(spec(field.heading)[field.field], file.record(field.heading, 0), bits);
      file.reseal();
      CAPTURE(field.field);
      CAPTURE(value);
      const Status status = open_status(file.bytes);
      CHECK(status.code() == Code::kMalformed);
      CHECK(names(status, field.field));
    }
  }
}

TEST_CASE("lists after the config refuse wrong rope frequencies, end tokens and names") {
  const SecondReader whole(mini_file(hostile_base()));
  const uint64_t rope = whole.section(1) + spec("Config record").bytes;
  const SpecField f64{"", "f64", 0}, i32{"", "i32", 0}, u8{"", "u8", 0};
  for (const uint64_t bits :
       {0x7ff8000000000000ull, 0x7ff0000000000000ull, 0xbff0000000000000ull}) {
    SecondReader file = whole;
    file.set(f64, rope + 8, bits);
    file.reseal();
    CHECK(names(open_status(file.bytes), "rope_frequencies"));
  }
  const uint64_t tokens = rope + 2 * 8;
  for (const uint64_t token : {18ull, 0xffffffffull, 0x80000000ull}) {
    SecondReader file = whole;
    file.set(i32, tokens, token);
    file.reseal();
    CHECK(names(open_status(file.bytes), "end_tokens"));
  }
  SecondReader file = whole;
  file.set(u8, tokens + 4, 0xff);
  file.reseal();
  CHECK(names(open_status(file.bytes), "name_bytes"));
}

TEST_CASE("a reserved matrix feature is refused by its name") {
  const SecondReader whole(mini_file(hostile_base()));
  const char* features[] = {"input scale",  "output scale",          "column permutation",
                            "group offset", "Walsh-Hadamard before", "bit 5"};
  for (uint32_t bit = 0; bit < 6; ++bit) {
    SecondReader file = whole;
    file.set(spec("Matrix record")["features"], file.record("Matrix record", 2), 1u << bit);
    file.reseal();
    const Status status = open_status(file.bytes);
    CHECK(status.code() == Code::kUnsupported);
    CHECK(names(status, features[bit]));
    CHECK(names(status, "layers.0.q"));
  }
}

TEST_CASE("newer minor versions open, newer majors and other magics do not") {
  const SecondReader whole(mini_file(hostile_base()));
  SecondReader file = whole;
  file.set(spec("Header")["version_minor"], 0, 7);
  file.reseal();
  CHECK(open_status(file.bytes).ok());
  file.set(spec("Header")["version_major"], 0, 2);
  file.reseal();
  CHECK(open_status(file.bytes).code() == Code::kUnsupported);
  CHECK(names(open_status(file.bytes), "found 2.7"));
  CHECK(open_status("GGUF" + whole.bytes.substr(4)).code() == Code::kUnsupported);
  CHECK(open_status("GGUF").code() == Code::kUnsupported);
  CHECK(open_status("").code() == Code::kMalformed);
  CHECK(open_status("\x89TRT").code() == Code::kMalformed);
}

TEST_CASE("a length is believed when the hash of the header fits, and then up to 2^30") {
  constexpr uint64_t kHuge = (uint64_t{1} << 30) + 64;
  const TempDir folder;
  const std::string path = folder.path("huge.trit");
  rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  for (const bool sealed : {false, true}) {
    SecondReader file(mini_file(hostile_base()));
    file.set(spec("Header")["head_bytes"], 0, kHuge);
    file.set(spec("Header")["file_bytes"], 0, kHuge);
    if (sealed) file.set(spec("Header")["header_hash"], 0, file.header_hash());
    write_file(path, file.bytes);
    std::filesystem::resize_file(path, kHuge);
    const auto model = ModelReader::open(path);
    REQUIRE(!model.ok());
    CHECK(model.status().code() == Code::kMalformed);
    CHECK(names(model.status(), sealed ? "head_bytes" : "header_hash"));
  }
  getrusage(RUSAGE_SELF, &after);
  CHECK(after.ru_maxrss - before.ru_maxrss < 100 << 10);  // KiB; bytes where it counts those
}

TEST_CASE("an unknown section is skipped when optional and refused when required") {
  SecondReader file(mini_file(hostile_base()));
  // An empty tenth section: its entry fits in the padding after the table, which ends at 352.
  REQUIRE(file.header("header_bytes") == 352);
  REQUIRE(file.section(1) == 384);
  const uint64_t entry = 352;
  file.set(spec("Header")["sections"], 0, 10);
  file.set(spec("Header")["header_bytes"], 0, 384);
  file.set(spec("Section entry")["kind"], entry, 77);
  file.set(spec("Section entry")["offset"], entry, file.header("head_bytes"));
  file.set(spec("Section entry")["hash"], entry, file.section_hash(10));
  const SpecField kind = spec("Section entry")["kind"];
  const auto seal = [&] {
    // The seed names the kind, not the place in the table.
    const std::string id = file.bytes.substr(spec("Header")["file_id"].offset, 8);
    const std::string seed_bytes =
        id + "\xff\xff\xff\xff" + file.bytes.substr(entry + kind.offset, 4);
    const uint64_t seed = hash64(seed_bytes.data(), seed_bytes.size(), 0);
    file.set(spec("Section entry")["hash"], entry, hash64(nullptr, 0, seed));
    file.set(spec("Header")["header_hash"], 0, file.header_hash());
  };
  seal();
  CHECK(open_status(file.bytes).message() == "");
  CHECK(verify_status(file.bytes).message() == "");
  file.set(spec("Section entry")["flags"], entry, 1);
  seal();
  CHECK(open_status(file.bytes).code() == Code::kUnsupported);
  CHECK(names(open_status(file.bytes), "kind 77"));
  file.set(spec("Section entry")["flags"], entry, 0);
  file.set(kind, entry, 9);  // twice
  seal();
  CHECK(open_status(file.bytes).code() == Code::kMalformed);
}

TEST_CASE("verify finds what no hash can: digits, padding and scales that should not be") {
  TinyModel model = mini_model();
  model.encoding = Encoding::kNative;
  const SecondReader whole(mini_file(model));
  const auto broken = [&](uint64_t offset, const std::string& bytes) {
    SecondReader file = whole;
    file.bytes.replace(offset, bytes.size(), bytes);
    file.reseal(true);
    CHECK(open_status(file.bytes).ok());
    const Status status = verify_status(file.bytes);
    CHECK(status.code() == Code::kMalformed);
    return status;
  };
  const auto block = [&](uint64_t i) {
    return whole.get(spec("Block record")["offset"], whole.record("Block record", i));
  };
  // The embedding: 18 rows of 20 columns, 32 f16 scales, two tiles of one vector.
  CHECK(names(broken(block(0) + 2 * 17 + 1, "\x7c"), "scale"));     // infinity
  CHECK(names(broken(block(0) + 2 * 17 + 1, "\x7e"), "scale"));     // NaN
  CHECK(names(broken(block(0) + 2 * 18, "\x01"), "scale"));         // padding row
  CHECK(names(broken(block(0) + 64 + 3, "\xf3"), "digits"));        // 243
  CHECK(names(broken(block(0) + 128 + 4 * 2, "\x7a"), "padding"));  // row 18
  CHECK(names(broken(block(1) + 128 - 1, "\xff"), "digits"));
  const uint64_t down = block(whole.records("Block record") - 1);
  // 20 rows of 24 columns: f32 row scales, the second vector of a tile has 4 columns.
  CHECK(names(broken(down + 4 * 19, std::string("\0\0\x80\x7f", 4)), "scale"));
  CHECK(names(broken(down + 4 * 20, "\x01"), "scale"));
  CHECK(names(broken(down + 128 + 64, "\xca"), "padding"));  // column 20's byte: 121 + 81
}

TEST_CASE("verify finds bytes in the gap between base and residual blocks") {
  SecondReader file(mini_file(hostile_base()));
  REQUIRE(file.header("base_end") % 16384 != 0);
  file.bytes[file.header("base_end") + 5] = 1;
  CHECK(open_status(file.bytes).ok());
  const Status status = verify_status(file.bytes);
  CHECK(status.code() == Code::kMalformed);
  CHECK(names(status, "gap at offset " + std::to_string(file.header("base_end") + 5)));
}

TEST_CASE("verify finds values that are not finite in a dense block, and padding that is not 0") {
  TinyModel model = mini_model();
  model.encoding = model.head_encoding = Encoding::kDenseF32;
  const SecondReader whole(mini_file(model));
  const uint64_t embedding =
      whole.get(spec("Block record")["offset"], whole.record("Block record", 0));
  const struct {
    uint64_t offset;
    std::string bytes;
    const char* named;
  } cases[] = {{embedding + 4 * 7 + 2, "\x80\x7f", "value"},
               {embedding + 4 * (18 * 20 - 1) + 2, "\xc0\xff", "value"},
               {embedding + 4 * 18 * 20, "\x01", "padding"}};
  for (const auto& c : cases) {
    SecondReader file = whole;
    file.bytes.replace(c.offset, c.bytes.size(), c.bytes);
    file.reseal(true);
    const Status status = verify_status(file.bytes);
    CHECK(status.code() == Code::kMalformed);
    CHECK(names(status, c.named));
    CHECK(names(status, "block embedding/1"));
  }
}

TEST_CASE("verify opens the tokenizer section as a command that runs would") {
  TinyModel model;
  model.config = tiny_config();
  model.tokenizer = tiny_tokenizer();
  model.tokenizer[offsetof(TokenizerHeader, reserved)] = 1;
  const TempDir folder;
  REQUIRE(write_tiny_model(folder.path("m.trit"), model).ok());
  const auto report = verify_file(folder.path("m.trit"), {});
  REQUIRE_FALSE(report.ok());
  CHECK(report.status().code() == Code::kMalformed);
  CHECK(report.status().message().find("tokenizer reserved") != std::string::npos);
}

}  // namespace trit
