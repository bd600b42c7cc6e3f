// Standard output of every command: buffered bytes whose first write error is remembered and
// becomes exit code 5 (a reader that went away: 141, silently), and the JSON of --json. Not here:
// stderr (error.h, progress.h).
#ifndef TRITSTACK_CMD_COMMON_OUTPUT_H_
#define TRITSTACK_CMD_COMMON_OUTPUT_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace trit {

void print(std::string_view bytes);
// Writes what is buffered; false once a write has failed (then stop: nobody reads).
bool flush_output();
// The end of a command: flushes, and turns a write error into the exit code. `code` wins when it is
// an error already.
int finish_output(int code);

// One JSON value, written member by member; print(json.text() + "\n") at the end. Numbers are in
// the C locale, values that JSON cannot hold (infinity) are null.
class JsonWriter {
 public:
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(bool yes) { return raw(yes ? "true" : "false"); }
  JsonWriter& value(double number);
  JsonWriter& value(uint64_t number) { return raw(std::to_string(number)); }
  JsonWriter& value(int64_t number) { return raw(std::to_string(number)); }
  JsonWriter& value(uint32_t number) { return raw(std::to_string(number)); }
  JsonWriter& value(int32_t number) { return raw(std::to_string(number)); }
  template <typename T>
  JsonWriter& member(std::string_view name, const T& v) {
    return key(name).value(v);
  }
  const std::string& text() const { return text_; }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& raw(std::string_view token);
  void separate();

  std::string text_;
  bool comma_ = false;  // the next element needs one
};

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_OUTPUT_H_
