// How the library says that the world is wrong: a code and one sentence. Codes are the process exit
// codes of the command line and the codes of the C API, so there is one table of them.
// Programmer errors are asserts. We throw nothing.
#ifndef TRITSTACK_MODEL_FORMAT_STATUS_H_
#define TRITSTACK_MODEL_FORMAT_STATUS_H_

#include <cassert>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace trit {

enum class Code : int {
  kOk = 0,
  kInternal = 1,     // a bug of ours
  kUsage = 2,        // an argument
  kMalformed = 3,    // a damaged or inconsistent file
  kUnsupported = 4,  // a valid file that this build cannot use
  kIo = 5,           // the operating system refused
  kMemory = 6,       // memory or budget
  kLimit = 7,        // context full
  kCancelled = 130,
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// A value or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT: return value;
  Result(Status status) : status_(std::move(status)) {  // NOLINT: return status;
    assert(!status_.ok());
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() { return *value_; }
  const T& value() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

#define TRIT_RETURN_IF_ERROR(expression)                                      \
  do {                                                                        \
    if (::trit::Status status_ = (expression); !status_.ok()) return status_; \
  } while (0)

// Text from a file or a user, made safe for one line of a terminal: in double quotes, cut at 64
// bytes, control bytes and bytes that are not UTF-8 as \xNN.
std::string quoted(std::string_view text);

// The one form of "this file is wrong": `<file>: <field> at <where>: expected <x>, found <y>`.
// `where` is an offset ("offset 24") or a JSON path ("$.rope_scaling.type").
Status bad_field(Code code, std::string_view file, std::string_view field, std::string_view where,
                 std::string_view expected, std::string_view found);

// `<file>: <sentence>`, for what has neither field nor value.
Status file_error(Code code, std::string_view file, std::string_view sentence);

// `<file>: cannot <verb>: <strerror(error)>`, code kIo (kMemory for ENOMEM).
Status io_error(std::string_view file, std::string_view verb, int error);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_STATUS_H_
