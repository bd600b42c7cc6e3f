// See memory_watch.h.
#include "runtime/memory_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <new>
#include <vector>

#include "runtime/available_memory.h"
#include "runtime/linux_files.h"

namespace trit {

namespace {

constexpr int kLookMilliseconds = 1000;
// Stalls of a tenth of two seconds; windows of whole two seconds are open to every user.
constexpr char kTrigger[] = "some 200000 2000000";

constexpr uint32_t kMostPatience = 32 * BudgetState::kPatience;
constexpr uint64_t kLeastStep = 16 << 20;

BudgetState less(const BudgetState& state, uint64_t budget, Pressure reason) {
  BudgetState next;
  next.budget_bytes = budget;
  next.reason = reason;
  const bool too_early = state.looks_since_more < state.patience;
  if (too_early) next.patience = std::min(2 * state.patience, kMostPatience);
  if (state.looks_since_more == BudgetState::kNever) next.patience = state.patience;
  return next;
}

// Descriptors that poll() wakes on when processes stall: a pressure file of the process's own
// cgroup and that of the system.
std::vector<pollfd> stall_triggers(const std::string& root) {
  std::vector<pollfd> triggers;
#ifdef __linux__
  std::vector<std::string> paths = {root + "/proc/pressure/memory"};
  for (const std::string& folder : cgroup_folders(root, "memory")) {
    const std::string path = folder + "/memory.pressure";
    if (access(path.c_str(), R_OK | W_OK) != 0) continue;
    paths.push_back(path);
    break;
  }
  for (const std::string& path : paths) {
    const int fd = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    if (write(fd, kTrigger, sizeof kTrigger) < 0) {
      close(fd);
    } else {
      triggers.push_back({fd, POLLPRI, 0});
    }
  }
#else
  (void)root;
#endif
  return triggers;
}

// All but the last, which says when to end.
void close_triggers(const std::vector<pollfd>& waits) {
  for (size_t i = 0; i + 1 < waits.size(); ++i)
    if (waits[i].fd >= 0) close(waits[i].fd);
}

// Looks until the last of `waits` has something to read.
void look_until_told(std::vector<pollfd> waits, uint64_t budget_bytes,
                     const MemoryWatch::OnBudget& on_budget, const MemoryWatch::OnLook& on_look,
                     const std::string& root) {
  BudgetState state;
  state.budget_bytes = budget_bytes;
  while (true) {
    bool stalled = false;
    const int ready = poll(waits.data(), waits.size(), kLookMilliseconds);
    if (ready > 0) {
      if (waits.back().revents) break;
      for (pollfd& wait : waits) {
        if (wait.revents & POLLERR) {  // the cgroup is gone
          close(wait.fd);
          wait.fd = -1;
        } else {
          stalled |= (wait.revents & POLLPRI) != 0;
        }
      }
    }
    try {
      const BudgetState next = next_budget(state, {available_memory(root).shared_bytes(), stalled});
      if (next.budget_bytes != state.budget_bytes) on_budget(next.budget_bytes, next.reason);
      state = next;
      if (on_look) on_look();
    } catch (const std::bad_alloc&) {
      // Not even for a look; there may be at the next.
    }
  }
  close_triggers(waits);
}

}  // namespace

BudgetState next_budget(const BudgetState& state, const MemoryLook& look) {
  const uint64_t available = look.available_bytes, budget = state.budget_bytes;
  const uint64_t fitting = automatic_budget(available);
  if (budget > available - available / (2 * kMarginShare))
    return less(state, fitting, Pressure::kScarce);
  // The numbers do not show every need: what they call free may be pages in use by others. But
  // stalls may also be none of our business, so they never take us below half.
  if (look.stalled && budget > available / 2) {
    const uint64_t lower = std::min(fitting, budget - budget / kMarginShare);
    return less(state, std::max(lower, available / 2), Pressure::kStalled);
  }
  BudgetState next = state;
  if (next.looks_since_more != BudgetState::kNever) ++next.looks_since_more;
  const bool calm = !look.stalled && fitting > budget + budget / kMarginShare;
  next.calm_looks = calm ? state.calm_looks + 1 : 0;
  if (next.calm_looks < state.patience) return next;
  next.budget_bytes = std::min(fitting, budget + std::max(budget / 4, kLeastStep));
  next.reason = Pressure::kEased;
  next.calm_looks = next.looks_since_more = 0;
  return next;
}

Result<std::unique_ptr<MemoryWatch>> MemoryWatch::start(uint64_t budget_bytes,
                                                        const OnBudget& on_budget,
                                                        const OnLook& on_look,
                                                        const std::string& root) {
  int ends[2];
  if (pipe(ends) != 0) return io_error("memory watch", "make a pipe", errno);
  std::unique_ptr<MemoryWatch> watch(new MemoryWatch());
  watch->stop_read_ = ends[0];
  watch->stop_write_ = ends[1];
  for (const int fd : ends) fcntl(fd, F_SETFD, FD_CLOEXEC);
  std::vector<pollfd> waits = stall_triggers(root);
  waits.push_back({ends[0], POLLIN, 0});
  // Signals are for the program's own threads, but for those that this one could cause.
  sigset_t others, before;
  sigfillset(&others);
  for (const int own : {SIGBUS, SIGSEGV, SIGILL, SIGFPE}) sigdelset(&others, own);
  pthread_sigmask(SIG_SETMASK, &others, &before);
  try {
    watch->thread_ = std::thread(look_until_told, waits, budget_bytes, on_budget, on_look, root);
  } catch (const std::exception&) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!watch->thread_.joinable()) {
    close_triggers(waits);
    return Status(Code::kMemory, "memory watch: the system gives no thread");
  }
  return watch;
}

MemoryWatch::~MemoryWatch() {
  // A byte, since the end that is closed here may be open in a child of the process.
  while (write(stop_write_, "", 1) < 0 && errno == EINTR) {
  }
  close(stop_write_);
  if (thread_.joinable()) thread_.join();
  close(stop_read_);
}

}  // namespace trit
