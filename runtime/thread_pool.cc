// See thread_pool.h. The one idea: job number and next item share one atomic word. Taking an item
// is a compare-exchange on that word, so a thread that slept through a whole job can never take an
// item of the next one with the old job's description, and the caller waits for items, not for
// threads: one that is not scheduled delays nobody.
#include "runtime/thread_pool.h"

#include <algorithm>
#include <cstdio>
#include <exception>

#ifdef __linux__
#include <sched.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace trit {

namespace {

constexpr uint32_t kClosed = UINT32_MAX;  // as next item: the description is being written
constexpr int kSpinRounds = 50;           // each of kSpinLoads loads and a yield: tens of us
constexpr int kSpinLoads = 200;

uint64_t make_ticket(uint64_t job, uint32_t item) {
  return job << 32 | item;
}

#ifdef __linux__
// Whole CPUs of a cgroup quota (v2: "max 100000" or "200000 100000"; v1: two files), 0: no limit.
uint32_t quota_cpus() {
  long long quota = -1, period = 0;
  if (FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    if (std::fscanf(file, "%lld %lld", &quota, &period) != 2) quota = -1;
    std::fclose(file);
  } else if (FILE* v1 = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r")) {
    if (std::fscanf(v1, "%lld", &quota) != 1) quota = -1;
    std::fclose(v1);
    if (FILE* v1_period = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r")) {
      if (std::fscanf(v1_period, "%lld", &period) != 1) period = 0;
      std::fclose(v1_period);
    }
  }
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<uint32_t>(std::min<long long>((quota + period - 1) / period, kMaxThreads));
}
#endif

uint32_t cpus_of_this_process() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<uint32_t>(CPU_COUNT(&set));
#endif
#ifdef __APPLE__
  uint32_t fast = 0;  // the performance cores: one loop is as slow as its slowest core
  size_t size = sizeof fast;
  if (sysctlbyname("hw.perflevel0.physicalcpu", &fast, &size, nullptr, 0) == 0) return fast;
#endif
  return std::thread::hardware_concurrency();
}

}  // namespace

uint32_t default_thread_count() {
  uint32_t count = cpus_of_this_process();
#ifdef __linux__
  if (const uint32_t quota = quota_cpus()) count = std::min(count, quota);
#endif
  return std::min(std::max(count, 1u), kMaxThreads);
}

ThreadPool::ThreadPool(uint32_t threads) : ticket_(make_ticket(0, kClosed)) {
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

void ThreadPool::run(uint32_t count, ItemFunction function, const void* body) {
  if (workers_.empty() || count <= 1) {
    for (uint32_t item = 0; item < count; ++item) function(body, item, 0);
    return;
  }
  const uint64_t job = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  // Closing first makes every ticket of the old job stale before its description changes.
  ticket_.store(make_ticket(job, kClosed));
  function_.store(function, std::memory_order_release);
  body_.store(body, std::memory_order_release);
  count_.store(count, std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  ticket_.store(make_ticket(job, 0));
  if (parked_.load() != 0) {
    // Empty on purpose: a thread between its last look and its sleep holds the mutex.
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }
  take_items(0);
  for (int spins = 0; done_.load(std::memory_order_acquire) != count; ++spins) {
    if (spins >= kSpinLoads) std::this_thread::yield();
  }
}

// Runs items until none is left; false when there was none.
bool ThreadPool::take_items(uint32_t thread) {
  bool any = false;
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  for (;;) {
    const ItemFunction function = function_.load(std::memory_order_acquire);
    const void* body = body_.load(std::memory_order_acquire);
    const uint32_t item = static_cast<uint32_t>(ticket);
    // A newer description than the ticket's was written after the ticket was closed, and whoever
    // read it then fails here.
    if (item >= count_.load(std::memory_order_acquire)) return any;
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
      continue;
    }
    function(body, item, thread);
    done_.fetch_add(1, std::memory_order_release);
    any = true;
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

bool ThreadPool::has_items() const {
  return static_cast<uint32_t>(ticket_.load()) < count_.load(std::memory_order_acquire);
}

void ThreadPool::work(uint32_t thread) {
  for (;;) {
    take_items(thread);
    for (int round = 0; round < kSpinRounds && !has_items(); ++round) {
      for (int load = 0; load < kSpinLoads && !has_items(); ++load) {
      }
      std::this_thread::yield();
    }
    if (has_items()) continue;
    std::unique_lock<std::mutex> lock(mutex_);
    parked_.fetch_add(1);
    wake_.wait(lock, [this] { return stop_ || has_items(); });
    parked_.fetch_sub(1);
    if (stop_) return;
  }
}

}  // namespace trit
