// How fast a prompt and its answer went.
#ifndef TRITSTACK_CMD_COMMON_TIMINGS_H_
#define TRITSTACK_CMD_COMMON_TIMINGS_H_

#include <chrono>
#include <cstddef>
#include <string>

#include "cmd/common/error.h"

namespace trit {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start_ = Clock::now();
};

struct Timings {
  size_t prompt_tokens = 0, answer_tokens = 0;  // that were computed
  double prompt_seconds = 0, answer_seconds = 0;

  // "prompt 12 tokens in 0.02 s (600.0 per second), answer 8 tokens in ..."
  std::string text() const {
    return part("prompt", prompt_tokens, prompt_seconds) + ", " +
           part("answer", answer_tokens, answer_seconds);
  }

 private:
  static std::string part(const char* name, size_t tokens, double seconds) {
    const double speed = seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
    return format("%s %zu tokens in %.2f s (%.1f per second)", name, tokens, seconds, speed);
  }
};

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_TIMINGS_H_
