// See thread_pool.h. The one idea: job number and what is left of a stretch share one atomic word.
// Taking from it is a compare-exchange on that word, so a thread that slept through a whole job can
// never take an item of the next one with the old job's description, and the caller waits for
// items, not for threads: one that is not scheduled delays nobody unless it holds items, and those
// are few.
//
// A thread's runs follow one another because memory is read fastest in long stretches: what a
// kernel fetches past the end of one run is the beginning of the next. Waiting means looking for a
// while, then sleeping. It never means sched_yield, which beside a busy process gives a whole time
// slice away.
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

// Items are counted in units, of which a stretch has room for 16 bits.
constexpr uint32_t kMostUnits = 65535;

uint32_t items_per_unit(uint32_t count) {
  return (count - 1) / kMostUnits + 1;
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

ThreadPool::ThreadPool(uint32_t threads) : threads_(threads), stretches_(new Stretch[threads]) {
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
  // Nothing is left of the last job: every stretch that says otherwise is stale, so the description
  // may change.
  const uint32_t job = job_.load(std::memory_order_relaxed) + 1;
  const uint32_t units = (count - 1) / items_per_unit(count) + 1;
  function_.store(function, std::memory_order_release);
  body_.store(body, std::memory_order_release);
  count_.store(count, std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  for (uint64_t t = 0, begin = 0; t < threads_; ++t) {
    const uint64_t end = (t + 1) * units / threads_;
    stretches_[t].left.store(uint64_t{job} << 32 | begin << 16 | end, std::memory_order_release);
    begin = end;
  }
  job_.store(job);
  if (parked_.load() != 0) {
    // Empty on purpose: a thread between its last look and its sleep holds the mutex.
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }
  take_items(0);
  await_items(count);
}

// Runs items until none is left that nobody has taken.
void ThreadPool::take_items(uint32_t thread) {
  for (uint32_t i = 0; i < threads_; ++i)
    while (take_run((thread + i) % threads_, thread)) {
    }
}

// Half of what is left of a stretch: from the front for its owner, from the end for others. The
// first half is the longest that one thread keeps to itself, so a core half as fast as the others
// does not fall behind.
bool ThreadPool::take_run(uint32_t owner, uint32_t thread) {
  std::atomic<uint64_t>& stretch = stretches_[owner].left;
  uint64_t left = stretch.load(std::memory_order_acquire);
  for (;;) {
    const uint32_t begin = left >> 16 & 0xffff, end = left & 0xffff;
    if (begin == end) return false;
    const RunFunction function = function_.load(std::memory_order_acquire);
    const void* body = body_.load(std::memory_order_acquire);
    const uint32_t count = count_.load(std::memory_order_acquire);
    const uint32_t run = std::max((end - begin) / 2, 1u);
    // Fails where that was the description of a newer job than the stretch's.
    if (!stretch.compare_exchange_weak(left, owner == thread ? left + (run << 16) : left - run,
                                       std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    const uint32_t unit = items_per_unit(count), first = owner == thread ? begin : end - run;
    const uint32_t item = first * unit, items = std::min(run * unit, count - item);
    function(body, item, item + items, thread);
    finish_items(items, count);
    return true;
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

void ThreadPool::work(uint32_t thread) {
  uint32_t seen = 0;
  const auto news = [&] { return job_.load() != seen; };
  for (;;) {
    if (!spin_until(news)) {
      std::unique_lock<std::mutex> lock(mutex_);
      parked_.fetch_add(1);
      wake_.wait(lock, [&] { return stop_ || news(); });
      parked_.fetch_sub(1);
      if (stop_) return;
    }
    seen = job_.load();
    take_items(thread);
  }
}

}  // namespace trit
