// A byte model opened through the C API, and what its tests share.
#ifndef TRITSTACK_TESTS_RUNTIME_OPENED_H_
#define TRITSTACK_TESTS_RUNTIME_OPENED_H_

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "runtime/include/tritstack.h"
#include "tests/runtime/byte_model.h"
#include "tests/support/temp_dir.h"

namespace trit {

struct Opened {
  Opened() {
    write_byte_model(dir.path("m.trit"));
    REQUIRE(trit_model_open(dir.path("m.trit").c_str(), nullptr, &model) == TRIT_OK);
  }
  ~Opened() {
    trit_session_close(session);
    trit_model_close(model);
  }
  trit_session* open(uint32_t context = 0, uint32_t chunk = 0, uint32_t threads = 2) {
    trit_session_close(session);
    trit_session_options options;
    trit_session_options_init(&options);
    options.context = context;
    options.chunk = chunk;
    options.threads = threads;
    REQUIRE(trit_session_open(model, &options, &session) == TRIT_OK);
    return session;
  }
  TempDir dir;
  trit_model* model = nullptr;
  trit_session* session = nullptr;
};

inline std::vector<float> logits_of(const trit_session* session) {
  const float* logits = trit_session_logits(session);
  REQUIRE(logits != nullptr);
  return {logits, logits + kByteVocab};
}

inline bool error_has(const char* text) {
  return std::strstr(trit_last_error(), text) != nullptr;
}

inline int append_text(const char* text, size_t bytes, int32_t, void* user) {
  static_cast<std::string*>(user)->append(text, bytes);
  return 0;
}

inline const std::vector<int32_t> kPrompt = {256, 'O', 'n', 'c', 'e'};

inline trit_generate_options generate_options(int32_t max_tokens) {
  trit_generate_options options;
  trit_generate_options_init(&options);
  options.max_tokens = max_tokens;
  return options;
}

}  // namespace trit

#endif  // TRITSTACK_TESTS_RUNTIME_OPENED_H_
