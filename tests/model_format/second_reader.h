// A second, naive reader and editor of .trit files for tests, which knows fields only by the names,
// types and offsets in FORMAT.md's tables and hashes only by its rules: what it agrees on with
// ModelReader, the page says right. It trusts the file it is given.
#ifndef TRITSTACK_TESTS_MODEL_FORMAT_SECOND_READER_H_
#define TRITSTACK_TESTS_MODEL_FORMAT_SECOND_READER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/tiny_model.h"

namespace trit {

struct SpecField {
  std::string name, type;
  uint32_t offset = 0;
  uint32_t bytes() const;  // of the type
};

struct SpecRecord {
  std::vector<SpecField> fields;
  uint32_t bytes = 0;
  const SpecField& operator[](const std::string& name) const;
};

// The table under "## <heading>" in FORMAT.md whose columns begin offset, type, field.
const SpecRecord& spec(const std::string& heading);

// One layer, as small as a model can be.
TinyModel mini_model();
std::string mini_file(const TinyModel& model);  // its bytes

class SecondReader {
 public:
  explicit SecondReader(std::string file) : bytes(std::move(file)) {}

  uint64_t get(const SpecField& f, uint64_t record = 0) const;
  void set(const SpecField& f, uint64_t record, uint64_t value);
  uint64_t header(const std::string& field) const { return get(spec("Header")[field]); }
  double real(const SpecField& f, uint64_t record) const;

  uint64_t section_entry(uint32_t kind) const;  // offset of its entry
  uint64_t section(uint32_t kind) const;        // offset of its bytes
  uint64_t section_bytes(uint32_t kind) const;
  uint64_t record(const std::string& heading, uint64_t i) const;  // offset of a record
  uint64_t records(const std::string& heading) const;

  uint64_t file_id() const;  // as the rule says
  uint64_t header_hash() const;
  uint64_t section_hash(uint32_t kind) const;
  uint64_t block_hash(uint64_t block) const;

  // Makes all hashes and the file id right again after an edit of anything but themselves. Block
  // hashes only when asked: a reader that opens a file does not look at them.
  void reseal(bool blocks = false);
  void reseal_sections();  // with the file id as it stands

  // The weight at (row, col) of a matrix with its first n planes.
  double weight(uint64_t matrix, uint64_t n, uint64_t row, uint64_t col) const;

  std::string bytes;

 private:
  int trit(uint64_t matrix, uint64_t plane, uint64_t row, uint64_t col) const;
  double scale(uint64_t matrix, uint64_t plane, uint64_t row, uint64_t col) const;
  uint64_t matrix_field(uint64_t matrix, const std::string& name) const;
  uint64_t block_of(uint64_t matrix, uint64_t plane) const;  // offset of its bytes
  uint64_t scale_bytes(uint64_t matrix, uint64_t plane) const;
};

}  // namespace trit

#endif  // TRITSTACK_TESTS_MODEL_FORMAT_SECOND_READER_H_
