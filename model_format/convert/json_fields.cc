// See json_fields.h.
#include "model_format/convert/json_fields.h"

#include "model_format/head_sections.h"

namespace trit {
namespace {

std::string range_text(const char* kind, const std::string& min, const std::string& max) {
  return kind + (" in " + min) + ".." + max;
}

}  // namespace

std::string found_text(JsonValue value) {
  if (!value.exists()) return "nothing";
  if (value.is_string()) return quoted(value.string());
  if (value.is_array()) return value.size() == 0 ? "an empty array" : "an array";
  if (value.is_object()) return "an object";
  return std::string(value.text().substr(0, 64));
}

JsonFields::JsonFields(JsonValue object, std::string file, std::string path)
    : object_(object), file_(std::move(file)), path_(std::move(path)) {
  if (object_.exists() && !object_.is_object())
    status_ = bad_field(Code::kMalformed, file_, "value", path_, "an object", found_text(object_));
}

bool JsonFields::has(std::string_view key) const {
  return !value(key).is_null();
}

JsonValue JsonFields::value(std::string_view key) const {
  return object_[key];
}

void JsonFields::keep(const Status& status) {
  if (status_.ok()) status_ = status;
}

void JsonFields::fail(Code code, std::string_view key, std::string_view expected,
                      std::string_view found) {
  keep(bad_field(code, file_, key, path_ + "." + std::string(key), expected, found));
}

int64_t JsonFields::integer(std::string_view key, int64_t min, int64_t max) {
  const JsonValue member = value(key);
  const auto number = member.is_number() ? member.integer() : std::nullopt;
  if (number && *number >= min && *number <= max) return *number;
  fail(Code::kMalformed, key, range_text("an integer", std::to_string(min), std::to_string(max)),
       found_text(member));
  return min;
}

double JsonFields::number(std::string_view key, double min, double max) {
  const JsonValue member = value(key);
  if (member.is_number() && member.number() >= min && member.number() <= max)
    return member.number();
  fail(Code::kMalformed, key, range_text("a number", number_text(min), number_text(max)),
       found_text(member));
  return max;
}

uint32_t JsonFields::integer_or(std::string_view key, uint32_t otherwise, uint32_t min,
                                uint32_t max) {
  return has(key) ? static_cast<uint32_t>(integer(key, min, max)) : otherwise;
}

double JsonFields::number_or(std::string_view key, double otherwise, double min, double max) {
  return has(key) ? number(key, min, max) : otherwise;
}

bool JsonFields::boolean_or(std::string_view key, bool otherwise) {
  if (!has(key)) return otherwise;
  if (value(key).is_bool()) return value(key).boolean();
  fail(Code::kMalformed, key, "true or false", found_text(value(key)));
  return otherwise;
}

std::string JsonFields::text_or(std::string_view key, std::string_view otherwise) {
  if (!has(key)) return std::string(otherwise);
  if (value(key).is_string()) return std::string(value(key).string());
  fail(Code::kMalformed, key, "a string", found_text(value(key)));
  return std::string(otherwise);
}

std::vector<int32_t> JsonFields::integers(std::string_view key) {
  std::vector<int32_t> out;
  const JsonValue member = value(key);
  if (member.is_null()) return out;
  const size_t count = member.is_array() ? member.size() : 1;
  for (size_t i = 0; i < count; ++i) {
    const JsonValue item = member.is_array() ? member[i] : member;
    const auto number = item.is_number() ? item.integer() : std::nullopt;
    if (!number || *number < 0 || *number > INT32_MAX) {
      fail(Code::kMalformed, key, "token ids", found_text(item));
      return out;
    }
    out.push_back(static_cast<int32_t>(*number));
  }
  return out;
}

JsonFields JsonFields::object(std::string_view key) {
  const JsonValue member = value(key);
  JsonFields fields(member.is_null() ? JsonValue() : member, file_, path_ + "." + std::string(key));
  keep(fields.status());
  return fields;
}

Status refuse_lfs_pointer(std::string_view bytes, std::string_view path) {
  constexpr std::string_view kPointer = "version https://git-lfs.github.com/";
  if (bytes.substr(0, kPointer.size()) != kPointer) return Status();
  return Status(Code::kMalformed, std::string(path) +
                                      ": a pointer of git-lfs, not the file itself: `git lfs pull` "
                                      "in its folder brings that");
}

Result<JsonFile> JsonFile::open(const std::string& path) {
  JsonFile file;
  file.path_ = path;
  auto text = MappedFile::open(path);
  if (!text.ok()) return text.status();
  file.text_ = std::move(text.value());
  const std::string_view bytes(reinterpret_cast<const char*>(file.text_.data()), file.text_.size());
  TRIT_RETURN_IF_ERROR(refuse_lfs_pointer(bytes, path));
  auto document = JsonDocument::parse(bytes, path);
  if (!document.ok()) return document.status();
  file.document_ = std::move(document.value());
  return file;
}

}  // namespace trit
