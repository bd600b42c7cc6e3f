// See progress.h.
#include "cmd/common/progress.h"

#include <unistd.h>

#include <cstdio>

#include "cmd/common/error.h"
#include "cmd/common/terminal.h"

namespace trit {

namespace {

constexpr auto kQuiet = std::chrono::seconds(1);  // what takes less needs no bar
constexpr auto kInterval = std::chrono::milliseconds(100);
constexpr size_t kBarColumns = 24;

std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  return whole < 60 ? format("%llds", whole) : format("%lldm%02llds", whole / 60, whole % 60);
}

}  // namespace

Progress::Progress() : terminal_(has_cursor(STDERR_FILENO)) {}

Progress::~Progress() {
  if (bar_shown_) std::fputs("\r\x1b[K", stderr);
}

void Progress::update(std::string_view stage, std::string_view detail, uint64_t done,
                      uint64_t total) {
  const Clock::time_point now = Clock::now();
  if (now - start_ < kQuiet) return;
  if (!terminal_) {
    if (stage != stage_) note(stage);
    stage_ = stage;
    return;
  }
  if (now - shown_at_ < kInterval || total == 0) return;
  shown_at_ = now;
  bar_shown_ = true;
  const double share = static_cast<double>(done) / static_cast<double>(total);
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const std::string left = share > 0 ? duration_text(elapsed * (1 / share - 1)) + " left" : "";
  std::string bar(static_cast<size_t>(share * kBarColumns), '#');
  bar.resize(kBarColumns, '.');
  const std::string what(detail.empty() ? stage : detail);
  const std::string line =
      format("[%s] %3.0f%% %-10s %s", bar.c_str(), share * 100, left.c_str(), what.c_str());
  const size_t shown = bytes_in_columns(line, terminal_columns(STDERR_FILENO) - 1);
  std::fprintf(stderr, "\r%s\x1b[K", line.substr(0, shown).c_str());
}

}  // namespace trit
