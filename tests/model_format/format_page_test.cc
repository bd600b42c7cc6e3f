// FORMAT.md is true: a reader made of its tables reads what ModelReader reads.
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/trit_plane.h"
#include "model_format/checksum.h"
#include "model_format/reader.h"
#include "tests/model_format/second_reader.h"
#include "tests/support/blocks.h"
#include "tests/support/temp_dir.h"

namespace trit {
namespace {

struct Written {
  TempDir folder;
  std::string path = folder.path("model.trit");
  explicit Written(const TinyModel& model) {
    const Status status = write_tiny_model(path, model);
    REQUIRE_MESSAGE(status.ok(), status.message());
  }
};

TinyModel full_model(Encoding encoding) {
  TinyModel model;
  model.config = tiny_config();
  model.config.tied_head = false;
  model.config.qkv_bias = model.config.qk_norm = model.config.sub_norm = true;
  model.config.end_tokens = {2, 7, 99};
  model.config.chat_family = ChatFamily::kQwen3;
  model.encoding = encoding;
  model.group = 30;  // does not divide the columns
  return model;
}

// Row `row` by the kernels' reference, with the first `planes` planes.
std::vector<float> kernel_row(const ModelReader& model, uint32_t matrix, uint32_t planes,
                              uint32_t row) {
  const MatrixInfo& m = model.matrices()[matrix];
  TritView view = {};
  view.rows = m.rows;
  view.cols = m.cols;
  view.group = m.group;
  view.planes = planes;
  view.encoding = m.encoding;
  view.prefix_factor = 1;
  for (uint32_t p = planes; m.encoding == Encoding::kTied && p < m.planes; ++p)
    view.prefix_factor *= 3;
  const Blocks blocks(model);
  for (size_t i = 0; i < model.blocks().size(); ++i) {
    const BlockInfo& b = model.blocks()[i];
    if (b.matrix != matrix || b.plane >= planes) continue;
    view.digits[b.plane] = blocks.data(i) + block_scale_bytes(m, b.plane);
    view.scales[b.plane] = reinterpret_cast<const uint16_t*>(blocks.data(i));
    view.row_scales = reinterpret_cast<const float*>(blocks.data(i));
  }
  std::vector<float> out(m.cols);
  dequantize_row(&view, row, out.data());
  return out;
}

}  // namespace

TEST_CASE("the tables of FORMAT.md give the sizes and names the reader finds") {
  const Written file(full_model(Encoding::kTied));
  const auto model = ModelReader::open(file.path);
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  const SecondReader other(read_file(file.path));
  CHECK(other.header("file_bytes") == model->file_bytes());
  CHECK(other.header("head_bytes") == model->head_bytes());
  CHECK(other.header("base_end") == model->base_end());
  CHECK(other.header("file_id") == model->file_id());
  CHECK(other.header("version_major") == model->version_major());
  CHECK(other.header("version_minor") == model->version_minor());

  const ModelConfig& c = model->config();
  const uint64_t at = other.record("Config record", 0);
  const SpecRecord& table = spec("Config record");
  const auto field = [&](const char* name) { return other.get(table[name], at); };
  CHECK(field("n_layers") == c.n_layers);
  CHECK(field("hidden") == c.hidden);
  CHECK(field("n_heads") == c.n_heads);
  CHECK(field("n_kv_heads") == c.n_kv_heads);
  CHECK(field("head_dim") == c.head_dim);
  CHECK(field("ffn") == c.ffn);
  CHECK(field("vocab") == c.vocab);
  CHECK(field("max_positions") == c.max_positions);
  CHECK(field("activation") == static_cast<uint32_t>(c.activation));
  CHECK(other.real(table["norm_eps"], at) == c.norm_eps);
  CHECK(other.real(table["rope_factor"], at) == c.rope_factor);
  CHECK(field("features") == (c.tied_head * 1 | c.qkv_bias * 2 | c.o_bias * 4 | c.ffn_bias * 8 |
                              c.qk_norm * 16 | c.sub_norm * 32));
  CHECK(field("chat_family") == static_cast<uint32_t>(c.chat_family));
  CHECK(static_cast<int32_t>(field("bos")) == c.bos);
  CHECK(static_cast<int32_t>(field("eos")) == c.eos);
  REQUIRE(field("end_tokens") == c.end_tokens.size());
  REQUIRE(field("rope_count") == c.rope_frequencies.size());
  uint64_t list = at + table.bytes;
  for (const double f : c.rope_frequencies) {
    CHECK(other.real({"", "f64", 0}, list) == f);
    list += 8;
  }
  for (const int32_t token : c.end_tokens) {
    CHECK(other.get({"", "u32", 0}, list) == static_cast<uint32_t>(token));
    list += 4;
  }
  CHECK(other.bytes.substr(list, field("name_bytes") + field("architecture_bytes")) ==
        c.name + c.architecture);
}

TEST_CASE("matrices, blocks and vectors are where FORMAT.md says") {
  const Written file(full_model(Encoding::kFree));
  const auto model = ModelReader::open(file.path);
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  const SecondReader other(read_file(file.path));
  REQUIRE(other.records("Matrix record") == model->matrices().size());
  for (size_t i = 0; i < model->matrices().size(); ++i) {
    const MatrixInfo& m = model->matrices()[i];
    const auto field = [&](const char* name) {
      return other.get(spec("Matrix record")[name], other.record("Matrix record", i));
    };
    CHECK(field("role") == static_cast<uint32_t>(m.role));
    CHECK(field("layer") == m.layer);
    CHECK(field("encoding") == static_cast<uint32_t>(m.encoding));
    CHECK(field("rows") == m.rows);
    CHECK(field("cols") == m.cols);
    CHECK(field("group") == m.group);
    CHECK(field("planes") == m.planes);
    CHECK(field("base_planes") == m.base_planes);
    CHECK(model->matrix_index(m.role, m.layer) == i);
    for (uint32_t p = 0; p < kMaxPlanes; ++p)
      CHECK(other.real({"", "f32", 4 * p}, other.section(4) + 16 * i) == m.errors[p]);
  }
  REQUIRE(other.records("Block record") == model->blocks().size());
  for (size_t i = 0; i < model->blocks().size(); ++i) {
    const BlockInfo& b = model->blocks()[i];
    const uint64_t at = other.record("Block record", i);
    CHECK(other.get(spec("Block record")["offset"], at) == b.offset);
    CHECK(other.get(spec("Block record")["bytes"], at) == b.bytes);
    CHECK(other.get(spec("Block record")["matrix"], at) == b.matrix);
    CHECK(other.get(spec("Block record")["plane"], at) == b.plane);
    CHECK(other.real(spec("Block record")["gain"], at) == b.gain);
    CHECK(std::isnan(other.real(spec("Block record")["quality"], at)));
  }
  const SpecRecord& table = spec("Vector record");
  for (uint64_t i = 0; i < other.records("Vector record"); ++i) {
    const uint64_t at = other.record("Vector record", i);
    const auto values = model->vector(static_cast<VectorRole>(other.get(table["role"], at)),
                                      static_cast<uint32_t>(other.get(table["layer"], at)));
    REQUIRE(other.get(table["count"], at) == values.size());
    for (uint32_t j = 0; j < values.size(); ++j)
      CHECK(other.real({"", "f32", 4 * j}, other.section(9) + other.get(table["offset"], at)) ==
            values[j]);
  }
}

TEST_CASE("hashes, seeds and the file id follow the rules of FORMAT.md") {
  const Written file(full_model(Encoding::kNative));
  const auto model = ModelReader::open(file.path);
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  const SecondReader other(read_file(file.path));
  CHECK(other.file_id() == model->file_id());
  CHECK(other.header_hash() == other.header("header_hash"));
  for (uint32_t kind = 1; kind <= 9; ++kind)
    CHECK(other.section_hash(kind) ==
          other.get(spec("Section entry")["hash"], other.section_entry(kind)));
  for (size_t i = 0; i < model->blocks().size(); ++i)
    CHECK(other.block_hash(i) == model->blocks()[i].hash);
}

TEST_CASE("the packing and value formulas of FORMAT.md give the weights the kernels see") {
  for (const Encoding encoding : {Encoding::kTied, Encoding::kFree, Encoding::kNative}) {
    const Written file(full_model(encoding));
    const auto model = ModelReader::open(file.path);
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    const SecondReader other(read_file(file.path));
    for (const MatrixRole role : {MatrixRole::kK, MatrixRole::kDown}) {
      const uint32_t matrix = static_cast<uint32_t>(model->matrix_index(role, 1));
      const MatrixInfo& m = model->matrices()[matrix];
      for (uint32_t planes = 1; planes <= m.planes; ++planes) {
        for (const uint32_t row : {0u, 17u, m.rows - 1}) {
          const std::vector<float> expected = kernel_row(model.value(), matrix, planes, row);
          for (uint32_t col = 0; col < m.cols; ++col)
            CHECK(other.weight(matrix, planes, row, col) ==
                  doctest::Approx(expected[col]).epsilon(1e-6));
        }
      }
    }
  }
}

}  // namespace trit
