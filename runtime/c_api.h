// What the files of the C API share: the handles, how a Status becomes a code and
// trit_last_error(), how option structs of older callers are read. Nothing the standard library
// throws leaves here.
#ifndef TRITSTACK_RUNTIME_C_API_H_
#define TRITSTACK_RUNTIME_C_API_H_

#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "model_format/status.h"
#include "runtime/include/tritstack.h"
#include "runtime/model.h"
#include "runtime/model_watch.h"
#include "runtime/session.h"

struct trit_model {
  std::shared_ptr<const trit::Model> model;
  std::mutex watch_mutex{};
  std::unique_ptr<trit::ModelWatch> watch{};
};

struct trit_session {
  std::unique_ptr<trit::Session> session;
};

namespace trit {

// Notes the message for trit_last_error().
trit_status fail(Code code, const char* message) noexcept;

// Runs a body that returns Status.
template <typename Body>
trit_status guarded(const Body& body) noexcept {
  try {
    const Status status = body();
    return status.ok() ? TRIT_OK : fail(status.code(), status.message().c_str());
  } catch (const std::bad_alloc&) {
    return fail(Code::kMemory, "out of memory");
  } catch (const std::exception& e) {
    return fail(Code::kInternal, e.what());
  }
}

inline Status usage(std::string message) {
  return Status(Code::kUsage, std::move(message));
}

inline Status null_argument(const std::string& name) {
  return usage(name + ": expected a pointer, found NULL");
}

#define TRIT_REQUIRE(pointer) \
  if (!(pointer)) return null_argument(#pointer)

// *to keeps its defaults (set by its init function) where the caller has none, or an older and
// shorter struct.
template <typename Options>
Status read_options(const Options* from, Options* to) {
  if (!from) return Status();
  const uint32_t size = from->struct_size;
  if (size < sizeof size || size > sizeof(Options)) {
    return usage("struct_size: expected at most " + std::to_string(sizeof(Options)) +
                 " (was the init function called?), found " + std::to_string(size));
  }
  std::memcpy(to, from, size);
  return Status();
}

// An enum as the number a C caller wrote, which may be none of the enum's.
template <typename Enum>
int number_of(const Enum& value) {
  int number;
  static_assert(sizeof number == sizeof value, "C enums are ints here");
  std::memcpy(&number, &value, sizeof number);
  return number;
}

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_C_API_H_
