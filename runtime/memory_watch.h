// A thread that notices when memory gets scarce and when it is there again, and says what budget
// fits now. It wakes when the kernel reports stalls (PSI triggers of the process's cgroup and of
// the system, where there are any) and looks once a second in any case.
//
// The rule, next_budget(), is pure. Less comes at once, as soon as half of the margin of
// automatic_budget() is gone; more comes slowly: after half a minute in which every look allowed
// it, at most a quarter more at a time, and more slowly still when the last time was too early.
// memory.events is not used: it counts every reclaim, and streaming a file through a full cgroup
// reclaims all the time without need.
#ifndef TRITSTACK_RUNTIME_MEMORY_WATCH_H_
#define TRITSTACK_RUNTIME_MEMORY_WATCH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "model_format/status.h"

namespace trit {

enum class Pressure {
  kScarce,   // others took what we counted on
  kStalled,  // the kernel reports that processes wait for memory
  kEased     // there is more again
};

// What one look sees.
struct MemoryLook {
  uint64_t available_bytes;  // that we may hold in all: AvailableMemory::shared_bytes()
  bool stalled;              // a PSI trigger fired since the last look
};

struct BudgetState {
  static constexpr uint32_t kPatience = 30, kNever = UINT32_MAX;

  uint64_t budget_bytes = 0;
  Pressure reason = Pressure::kEased;  // of the last change
  uint32_t calm_looks = 0;             // in a row that allowed more
  uint32_t patience = kPatience;       // calm looks before more is taken
  uint32_t looks_since_more = kNever;
};

BudgetState next_budget(const BudgetState& state, const MemoryLook& look);

class MemoryWatch {
 public:
  // Called on the watch's thread, which waits for it; must not destroy the watch.
  using OnBudget = std::function<void(uint64_t budget_bytes, Pressure reason)>;
  using OnLook = std::function<void()>;

  // Watches from now on, with this budget in force. on_look (may be empty) is called after each
  // look. `root`: see linux_files.h.
  static Result<std::unique_ptr<MemoryWatch>> start(uint64_t budget_bytes,
                                                    const OnBudget& on_budget,
                                                    const OnLook& on_look,
                                                    const std::string& root = "");
  ~MemoryWatch();  // waits for a callback that runs
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

 private:
  MemoryWatch() = default;

  int stop_read_ = -1, stop_write_ = -1;  // a pipe: a byte in it ends the thread
  std::thread thread_;
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_MEMORY_WATCH_H_
