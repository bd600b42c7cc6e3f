// Typed, range-checked access to the members of a JSON object that a person or another program
// wrote. The first thing wrong is kept, named by its JSON path, and later reads give harmless
// values; so a reader of many fields asks status() once at its end. null means absent.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_JSON_FIELDS_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_JSON_FIELDS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/json.h"
#include "model_format/mapped_file.h"
#include "model_format/status.h"

namespace trit {

// An error where a file holds the pointer that git-lfs leaves in place of a large one.
Status refuse_lfs_pointer(std::string_view bytes, std::string_view path);

// A value as errors show it: `"32"`, `1.5`, `an array`, `nothing`.
std::string found_text(JsonValue value);

class JsonFields {
 public:
  // `object` may be absent: then so is every member. `path`: "$", "$.rope_scaling".
  JsonFields(JsonValue object, std::string file, std::string path);

  const Status& status() const { return status_; }
  const std::string& file() const { return file_; }
  bool has(std::string_view key) const;  // present and not null
  JsonValue value(std::string_view key) const;

  // Required members.
  int64_t integer(std::string_view key, int64_t min, int64_t max);
  double number(std::string_view key, double min, double max);  // min <= value <= max
  // Members with a default.
  uint32_t integer_or(std::string_view key, uint32_t otherwise, uint32_t min, uint32_t max);
  double number_or(std::string_view key, double otherwise, double min, double max);
  bool boolean_or(std::string_view key, bool otherwise);
  std::string text_or(std::string_view key, std::string_view otherwise);
  // An integer or a list of them, each in [0, 2^31).
  std::vector<int32_t> integers(std::string_view key);
  // A member that is an object, or absent.
  JsonFields object(std::string_view key);

  // Keeps an error about a member, if it is the first.
  void fail(Code code, std::string_view key, std::string_view expected, std::string_view found);
  void keep(const Status& status);

 private:
  JsonValue object_;
  std::string file_, path_;
  Status status_;
};

// A JSON file and the text its document looks into.
class JsonFile {
 public:
  static Result<JsonFile> open(const std::string& path);
  JsonFields fields() const { return JsonFields(document_->root(), path_, "$"); }
  JsonValue root() const { return document_->root(); }

 private:
  std::string path_;
  MappedFile text_;
  std::unique_ptr<JsonDocument> document_;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_JSON_FIELDS_H_
