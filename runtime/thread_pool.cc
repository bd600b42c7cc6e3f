// See thread_pool.h. The one idea: job number and items left share one atomic word. Taking items is
// a compare-exchange on that word, so a thread that slept through a whole job can never take an
// item of the next one with the old job's description, and the caller waits for items, not for
// threads: one that is not scheduled delays nobody unless it holds items, and those are few.
// Waiting means looking for a while, then sleeping. It never means sched_yield, which beside a busy
// process gives a whole time slice away.
#include "runtime/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <exception>

#include "kernels/target.h"

namespace trit {

namespace {

// Longer than what a decode step does on one thread; waking a thread costs about as much.
constexpr std::chrono::microseconds kSpin{100};
constexpr int kLooksPerClock = 16;

uint32_t items_left(uint64_t ticket) {
  return static_cast<uint32_t>(ticket);
}

// False: not within kSpin.
template <typename Ready>
bool spin_until(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int look = 0; look < kLooksPerClock; ++look) {
      if (ready()) return true;
      cpu_relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

ThreadPool::ThreadPool(uint32_t threads) : threads_(threads) {
  workers_.reserve(threads - 1);
  for (uint32_t thread = 1; thread < threads; ++thread) {
    try {
      workers_.emplace_back([this, thread] { work(thread); });
    } catch (const std::exception&) {  // no thread or no memory for one
      break;
    }
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(uint32_t count, RunFunction function, const void* body) {
  if (workers_.empty() || count <= 1) {
    if (count > 0) function(body, 0, count, 0);
    return;
  }
  // Nothing is left of the last job: every ticket that says otherwise is stale, so the description
  // may change.
  const uint64_t job = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  function_.store(function, std::memory_order_release);
  body_.store(body, std::memory_order_release);
  count_.store(count, std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  ticket_.store(job << 32 | count);
  if (parked_.load() != 0) {
    // Empty on purpose: a thread between its last look and its sleep holds the mutex.
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }
  take_items(0);
  await_items(count);
}

// How many items to take at once. Memory is read fastest in long stretches, so half of all items go
// out in one run per thread: a core half as fast as the others does not fall behind by that. The
// rest goes out in runs of half a thread's share of what is left, so that all end together.
uint32_t ThreadPool::run_length(uint32_t left, uint32_t count) const {
  const uint32_t opening = count / 2 / threads_;
  return count - left < opening * threads_ ? opening : std::max(left / (2 * threads_), 1u);
}

// Runs items until none is left.
void ThreadPool::take_items(uint32_t thread) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (const uint32_t left = items_left(ticket)) {
    const RunFunction function = function_.load(std::memory_order_acquire);
    const void* body = body_.load(std::memory_order_acquire);
    const uint32_t count = count_.load(std::memory_order_acquire);
    const uint32_t items = std::min(run_length(left, count), left);
    // Fails where that was the description of a newer job than the ticket's.
    if (!ticket_.compare_exchange_weak(ticket, ticket - items, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
      continue;
    }
    const uint32_t begin = count - left;
    function(body, begin, begin + items, thread);
    finish_items(items, count);
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

// `count` is that of the items' own job: once they count as done the next job may begin.
void ThreadPool::finish_items(uint32_t items, uint32_t count) {
  if (done_.fetch_add(items) + items != count || !caller_parked_.load()) return;
  { std::lock_guard<std::mutex> lock(mutex_); }
  finished_.notify_one();
}

void ThreadPool::await_items(uint32_t count) {
  const auto done = [&] { return done_.load() == count; };
  if (spin_until(done)) return;
  std::unique_lock<std::mutex> lock(mutex_);
  caller_parked_ = true;
  finished_.wait(lock, done);
  caller_parked_ = false;
}

bool ThreadPool::has_items() const {
  return items_left(ticket_.load()) != 0;
}

void ThreadPool::work(uint32_t thread) {
  for (;;) {
    take_items(thread);
    if (spin_until([this] { return has_items(); })) continue;
    std::unique_lock<std::mutex> lock(mutex_);
    parked_.fetch_add(1);
    wake_.wait(lock, [this] { return stop_ || has_items(); });
    parked_.fetch_sub(1);
    if (stop_) return;
  }
}

}  // namespace trit
