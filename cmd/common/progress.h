// Progress of something that has taken a second already, on stderr: a bar with the time left on a
// terminal that can redraw one, one plain line per stage elsewhere.
#ifndef TRITSTACK_CMD_COMMON_PROGRESS_H_
#define TRITSTACK_CMD_COMMON_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace trit {

class Progress {
 public:
  Progress();
  ~Progress();  // wipes the bar
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `stage`: what is going on; `detail`: shown in the bar only. `done` of `total` over all stages.
  void update(std::string_view stage, std::string_view detail, uint64_t done, uint64_t total);

 private:
  using Clock = std::chrono::steady_clock;
  const bool terminal_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point shown_at_ = start_;
  std::string stage_;
  bool bar_shown_ = false;
};

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_PROGRESS_H_
