// See output.h. write(2) and not stdio: stdio forgets why an earlier write failed.
#include "cmd/common/output.h"

#include <unistd.h>

#include <cerrno>
#include <cmath>

#include "cmd/common/error.h"
#include "model_format/json.h"

namespace trit {

namespace {

constexpr size_t kBufferBytes = 1 << 16;
constexpr int kExitBrokenPipe = 141;  // what a shell reports for a death by SIGPIPE

std::string& buffer() {
  static std::string bytes;
  return bytes;
}

int write_error = 0;

}  // namespace

void print(std::string_view bytes) {
  buffer().append(bytes);
  if (buffer().size() >= kBufferBytes) flush_output();
}

bool flush_output() {
  size_t done = 0;
  while (write_error == 0 && done < buffer().size()) {
    const ssize_t n = write(STDOUT_FILENO, buffer().data() + done, buffer().size() - done);
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      write_error = errno;
    }
  }
  buffer().clear();
  return write_error == 0;
}

int finish_output(int code) {
  if (flush_output() || code != 0) return code;
  if (write_error == EPIPE) return kExitBrokenPipe;
  return fail_io("standard output", "write", write_error);
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  text_ += json_quoted(name) + ": ";
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  return raw(json_quoted(text));
}

JsonWriter& JsonWriter::value(double number) {
  return raw(std::isfinite(number) ? format("%.17g", number) : "null");
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  text_ += bracket;
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  text_ += bracket;
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view token) {
  separate();
  text_ += token;
  comma_ = true;
  return *this;
}

void JsonWriter::separate() {
  if (comma_) text_ += ", ";
}

}  // namespace trit
