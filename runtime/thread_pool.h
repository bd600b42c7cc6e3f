// A fixed set of threads that share the items of one loop at a time. Each has a stretch of its own,
// which it takes in runs that shrink towards the end; who is done takes from the end of the
// others', so a slow core does less. An item must not depend on who runs it, which is why results
// never depend on the number of threads. Nothing is allocated per call.
#ifndef TRITSTACK_RUNTIME_THREAD_POOL_H_
#define TRITSTACK_RUNTIME_THREAD_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/default_threads.h"

namespace trit {

class ThreadPool {
 public:
  // `threads` includes the caller of parallel_for. Fewer when the system refuses to start them.
  explicit ThreadPool(uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  uint32_t size() const { return static_cast<uint32_t>(workers_.size()) + 1; }

  // body(begin, end, thread) for runs of items that make up [0, count), thread in [0, size());
  // returns when all are done. One caller at a time.
  template <typename Body>
  void parallel_runs(uint32_t count, const Body& body) {
    run(
        count,
        [](const void* b, uint32_t begin, uint32_t end, uint32_t thread) {
          (*static_cast<const Body*>(b))(begin, end, thread);
        },
        &body);
  }

  // The same by single items: body(item, thread).
  template <typename Body>
  void parallel_for(uint32_t count, const Body& body) {
    parallel_runs(count, [&](uint32_t begin, uint32_t end, uint32_t thread) {
      for (uint32_t item = begin; item < end; ++item) body(item, thread);
    });
  }

 private:
  using RunFunction = void (*)(const void* body, uint32_t begin, uint32_t end, uint32_t thread);

  void run(uint32_t count, RunFunction function, const void* body);
  void take_items(uint32_t thread);
  bool take_run(uint32_t owner, uint32_t thread);
  void finish_items(uint32_t items, uint32_t count);
  void await_items(uint32_t count);
  void work(uint32_t thread);

  const uint32_t threads_;  // asked for
  // A thread's stretch of units that nobody has taken: job number << 32 | begin << 16 | end.
  struct alignas(64) Stretch {
    std::atomic<uint64_t> left{0};
  };
  const std::unique_ptr<Stretch[]> stretches_;

  // What the loop is. A thread reads it before it takes a run and may use it only if taking
  // succeeded: a stretch of another job fails (see take_run).
  alignas(64) std::atomic<RunFunction> function_{nullptr};
  std::atomic<const void*> body_{nullptr};
  std::atomic<uint32_t> count_{0};
  alignas(64) std::atomic<uint32_t> job_{0};   // what idle threads look at
  alignas(64) std::atomic<uint32_t> done_{0};  // items finished of this job; the caller looks
  std::atomic<bool> caller_parked_{false};
  std::atomic<uint32_t> parked_{0};  // workers asleep
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;      // for workers: there are items
  std::condition_variable finished_;  // for the caller: all are done
  std::vector<std::thread> workers_;
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_THREAD_POOL_H_
