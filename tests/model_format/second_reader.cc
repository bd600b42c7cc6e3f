// See second_reader.h.
#include "tests/model_format/second_reader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "kernels/half.h"
#include "model_format/checksum.h"
#include "tests/support/temp_dir.h"

namespace trit {
namespace {

constexpr uint32_t kSections = 9;
// Kinds of the sections that make the file id, and of those that hold records.
constexpr uint32_t kIdentityKinds[] = {1, 7, 3, 6};
const std::map<std::string, uint32_t> kRecordKinds = {{"Config record", 1},
                                                      {"Generation record", 2},
                                                      {"Matrix record", 3},
                                                      {"Block record", 5},
                                                      {"Vector record", 9}};

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out;
  std::istringstream in(line.substr(1));
  for (std::string cell; std::getline(in, cell, '|');) {
    const size_t begin = cell.find_first_not_of(' ');
    if (begin == std::string::npos) continue;
    out.push_back(cell.substr(begin, cell.find_last_not_of(' ') - begin + 1));
  }
  return out;
}

uint64_t padded(uint64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

std::string little_endian(uint64_t value, uint32_t bytes) {
  std::string out;
  for (uint32_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

uint64_t seed(uint64_t file_id, uint64_t a, uint64_t b) {
  const std::string bytes = little_endian(file_id, 8) + little_endian(a, 4) + little_endian(b, 4);
  return hash64(bytes.data(), bytes.size(), 0);
}

}  // namespace

uint32_t SpecField::bytes() const {
  const size_t array = type.find('[');  // "u8[8]"
  const int count = array == type.npos ? 1 : std::stoi(type.substr(array + 1));
  return static_cast<uint32_t>(std::stoi(type.substr(1)) / 8 * count);
}

const SpecField& SpecRecord::operator[](const std::string& name) const {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const SpecField& f) { return f.name == name; });
  REQUIRE_MESSAGE(found != fields.end(), "FORMAT.md has no field " << name);
  return *found;
}

const SpecRecord& spec(const std::string& heading) {
  static std::map<std::string, SpecRecord> tables;
  if (tables.empty()) {
    std::istringstream page(read_file("model_format/FORMAT.md"));
    std::string current;
    bool in_table = false;
    for (std::string line; std::getline(page, line);) {
      if (line.rfind("## ", 0) == 0) current = line.substr(3);
      if (line.rfind("| offset | type | field |", 0) == 0) in_table = true;
      if (line.empty() || line[0] != '|') in_table = false;
      const std::vector<std::string> row = in_table ? cells(line) : std::vector<std::string>();
      if (row.size() < 3 || row[0].find_first_not_of("0123456789") != std::string::npos) continue;
      SpecRecord& table = tables[current];
      table.fields.push_back({row[2], row[1], static_cast<uint32_t>(std::stoul(row[0]))});
      // Fields leave no holes, so a row that is wrong or missing shows.
      CHECK(table.fields.back().offset == table.bytes);
      table.bytes += table.fields.back().bytes();
    }
  }
  REQUIRE_MESSAGE(tables.count(heading), "FORMAT.md has no table under " << heading);
  return tables[heading];
}

TinyModel mini_model() {
  TinyModel model;
  model.config = tiny_config();
  model.config.n_layers = 1;
  model.config.hidden = 20;
  model.config.n_heads = 2;
  model.config.n_kv_heads = 1;
  model.config.head_dim = 4;
  model.config.ffn = 24;
  model.config.vocab = 18;
  model.config.bos = 1;
  model.group = 20;
  model.planes = 2;
  model.head_planes = 3;
  model.tokenizer = tiny_tokenizer();
  return model;
}

std::string mini_file(const TinyModel& model) {
  const TempDir folder;
  const Status status = write_tiny_model(folder.path("mini.trit"), model);
  REQUIRE_MESSAGE(status.ok(), status.message());
  return read_file(folder.path("mini.trit"));
}

uint64_t SecondReader::get(const SpecField& f, uint64_t record) const {
  uint64_t value = 0;
  for (uint32_t i = f.bytes(); i-- > 0;)
    value = value << 8 | static_cast<uint8_t>(bytes.at(record + f.offset + i));
  return value;
}

void SecondReader::set(const SpecField& f, uint64_t record, uint64_t value) {
  bytes.replace(record + f.offset, f.bytes(), little_endian(value, f.bytes()));
}

double SecondReader::real(const SpecField& f, uint64_t record) const {
  const uint64_t bits = get(f, record);
  if (f.type == "f16") return f16_to_f32(static_cast<uint16_t>(bits));
  if (f.type == "f32") return bits_to_f32(static_cast<uint32_t>(bits));
  double value;
  std::memcpy(&value, &bits, 8);
  return value;
}

uint64_t SecondReader::section_entry(uint32_t kind) const {
  return spec("Header").bytes + uint64_t{kind - 1} * spec("Section entry").bytes;
}
uint64_t SecondReader::section(uint32_t kind) const {
  return get(spec("Section entry")["offset"], section_entry(kind));
}
uint64_t SecondReader::section_bytes(uint32_t kind) const {
  return get(spec("Section entry")["bytes"], section_entry(kind));
}

uint64_t SecondReader::record(const std::string& heading, uint64_t i) const {
  if (heading == "Header") return 0;
  if (heading == "Section entry") return section_entry(static_cast<uint32_t>(i) + 1);
  return section(kRecordKinds.at(heading)) + i * spec(heading).bytes;
}

uint64_t SecondReader::records(const std::string& heading) const {
  if (heading == "Section entry") return header("sections");
  if (heading == "Matrix record" || heading == "Block record")
    return section_bytes(kRecordKinds.at(heading)) / spec(heading).bytes;
  if (heading == "Vector record") {  // up to the values; padding has no count
    const uint64_t end = section(9) + get(spec(heading)["offset"], section(9));
    uint64_t n = 0;
    while (record(heading, n + 1) <= end && get(spec(heading)["count"], record(heading, n)) > 0)
      ++n;
    return n;
  }
  return 1;
}

uint64_t SecondReader::file_id() const {
  std::string text;
  for (const uint32_t kind : kIdentityKinds)
    text +=
        little_endian(section_bytes(kind), 8) + bytes.substr(section(kind), section_bytes(kind));
  return hash64(text.data(), text.size(), 0);
}

uint64_t SecondReader::header_hash() const {
  const uint32_t header_bytes = spec("Header").bytes;
  const std::string text = bytes.substr(0, spec("Header")["header_hash"].offset) +
                           bytes.substr(header_bytes, header("header_bytes") - header_bytes);
  return hash64(text.data(), text.size(), 0);
}

uint64_t SecondReader::section_hash(uint32_t kind) const {
  return hash64(bytes.data() + section(kind), section_bytes(kind),
                seed(header("file_id"), 0xffffffff, kind));
}

uint64_t SecondReader::block_hash(uint64_t block) const {
  const SpecRecord& table = spec("Block record");
  const uint64_t at = record("Block record", block);
  return hash64(&bytes.at(get(table["offset"], at)), get(table["bytes"], at),
                seed(header("file_id"), get(table["matrix"], at), get(table["plane"], at)));
}

void SecondReader::reseal_sections() {
  for (uint32_t kind = 1; kind <= kSections; ++kind) {
    const uint64_t begin = section(kind), size = section_bytes(kind);
    if (begin > bytes.size() || size > bytes.size() - begin) continue;  // edited to be hostile
    set(spec("Section entry")["hash"], section_entry(kind), section_hash(kind));
  }
  set(spec("Header")["header_hash"], 0, header_hash());
}

void SecondReader::reseal(bool blocks) {
  bool sound = true;  // an edit may have put a section outside the file
  for (const uint32_t kind : kIdentityKinds)
    sound = sound && section(kind) <= bytes.size() &&
            section_bytes(kind) <= bytes.size() - section(kind);
  if (sound) set(spec("Header")["file_id"], 0, file_id());
  for (uint64_t i = 0; blocks && i < records("Block record"); ++i)
    set(spec("Block record")["hash"], record("Block record", i), block_hash(i));
  reseal_sections();
}

uint64_t SecondReader::matrix_field(uint64_t matrix, const std::string& name) const {
  return get(spec("Matrix record")[name], record("Matrix record", matrix));
}

uint64_t SecondReader::block_of(uint64_t matrix, uint64_t plane) const {
  const SpecRecord& table = spec("Block record");
  for (uint64_t i = 0; i < records("Block record"); ++i) {
    const uint64_t at = record("Block record", i);
    if (get(table["matrix"], at) == matrix && get(table["plane"], at) == plane)
      return get(table["offset"], at);
  }
  FAIL("no block for matrix " << matrix << " plane " << plane);
  return 0;
}

uint64_t SecondReader::scale_bytes(uint64_t matrix, uint64_t plane) const {
  const uint64_t encoding = matrix_field(matrix, "encoding");
  const uint64_t rows = (matrix_field(matrix, "rows") + 15) / 16 * 16;
  if (encoding == 3) return padded(rows * 4);
  const uint64_t group = matrix_field(matrix, "group");
  const uint64_t groups = (matrix_field(matrix, "cols") + group - 1) / group;
  return encoding == 2 || plane == 0 ? padded(rows * groups * 2) : 0;
}

int SecondReader::trit(uint64_t matrix, uint64_t plane, uint64_t row, uint64_t col) const {
  const uint64_t cols = matrix_field(matrix, "cols"), group = matrix_field(matrix, "group");
  uint64_t before = 0, row_vectors = 0;  // vectors of the groups before col's; of all groups
  for (uint64_t first = 0; first < cols; first += group) {
    const uint64_t vectors = (std::min(group, cols - first) + 19) / 20;
    if (first + group <= col) before += vectors;
    row_vectors += vectors;
  }
  const uint64_t c = col % group, v = c / 20, j = c % 20 / 4, b = c % 4;
  const uint64_t at = block_of(matrix, plane) + scale_bytes(matrix, plane) +
                      (row / 16 * row_vectors + before + v) * 64 + 4 * (row % 16) + b;
  uint32_t code = static_cast<uint8_t>(bytes.at(at));
  for (uint64_t i = 0; i < j; ++i) code /= 3;
  return static_cast<int>(code % 3) - 1;
}

double SecondReader::scale(uint64_t matrix, uint64_t plane, uint64_t row, uint64_t col) const {
  if (matrix_field(matrix, "encoding") == 3)
    return real({"", "f32", 0}, block_of(matrix, 0) + 4 * row);
  const uint64_t cols = matrix_field(matrix, "cols"), group = matrix_field(matrix, "group");
  const uint64_t groups = (cols + group - 1) / group;
  const uint64_t index = (row / 16 * groups + col / group) * 16 + row % 16;
  return real({"", "f16", 0}, block_of(matrix, plane) + 2 * index);
}

double SecondReader::weight(uint64_t matrix, uint64_t n, uint64_t row, uint64_t col) const {
  const uint64_t encoding = matrix_field(matrix, "encoding");
  const uint64_t index = row * matrix_field(matrix, "cols") + col;
  if (encoding == 4) return real({"", "f32", 0}, block_of(matrix, 0) + 4 * index);
  if (encoding == 5)
    return bf16_to_f32(static_cast<uint16_t>(get({"", "u16", 0}, block_of(matrix, 0) + 2 * index)));
  double sum = 0;
  for (uint64_t p = 0; p < n; ++p) {
    const double power = std::pow(3.0, static_cast<double>(matrix_field(matrix, "planes") - 1 - p));
    sum += encoding == 1 ? scale(matrix, 0, row, col) * power * trit(matrix, p, row, col)
                         : scale(matrix, p, row, col) * trit(matrix, p, row, col);
  }
  return sum;
}

}  // namespace trit
