// A strict JSON reader (RFC 8259) for config.json, safetensors headers and tokenizer.json: one
// pass, depth at most 64, no NaN or Infinity, duplicate keys and bad UTF-8 are errors, all errors
// carry an offset. Values live in one arena; strings are views into the text where they hold no
// escapes.
#ifndef TRITSTACK_MODEL_FORMAT_JSON_H_
#define TRITSTACK_MODEL_FORMAT_JSON_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model_format/status.h"

namespace trit {

enum class JsonType : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

class JsonDocument;

// A handle to one value; cheap to copy; valid while its document lives. A default-constructed or
// absent value has type kNull and exists() false, so lookups chain: doc.root()["a"]["b"].
class JsonValue {
 public:
  JsonValue() = default;
  bool exists() const { return document_ != nullptr; }
  JsonType type() const;
  bool is_null() const { return type() == JsonType::kNull; }
  bool is_string() const { return type() == JsonType::kString; }
  bool is_number() const { return type() == JsonType::kNumber; }
  bool is_bool() const { return type() == JsonType::kBool; }
  bool is_array() const { return type() == JsonType::kArray; }
  bool is_object() const { return type() == JsonType::kObject; }

  bool boolean() const;                    // is_bool
  double number() const;                   // is_number
  std::optional<int64_t> integer() const;  // a number without fraction or exponent that fits
  std::optional<uint64_t> unsigned_integer() const;
  std::string_view string() const;       // is_string
  size_t size() const;                   // elements of an array or members of an object
  JsonValue operator[](size_t i) const;  // array element or i-th member's value, in file order
  JsonValue operator[](std::string_view key) const;  // absent when there is no such member
  std::string_view key(size_t i) const;              // i-th member's name
  uint64_t offset() const;                           // of the value in the text
  std::string_view text() const;                     // its bytes in the text (strings: with quotes)

 private:
  friend class JsonDocument;
  friend class JsonParser;
  JsonValue(const JsonDocument* document, uint32_t node) : document_(document), node_(node) {}
  const JsonDocument* document_ = nullptr;
  uint32_t node_ = 0;
};

class JsonDocument {
 public:
  // `text` must outlive the document. `file` names the source in errors. kMalformed.
  static Result<std::unique_ptr<JsonDocument>> parse(std::string_view text, std::string_view file);
  ~JsonDocument();
  JsonValue root() const;

 private:
  friend class JsonValue;
  friend class JsonParser;
  JsonDocument();
  struct Nodes;
  std::unique_ptr<Nodes> nodes_;
};

// `text` as a JSON string literal with quotes (for --json output).
std::string json_quoted(std::string_view text);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_JSON_H_
