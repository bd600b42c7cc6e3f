// See parallel_blocks.h. Blocks are handed out in ascending order, so every block below a failing
// one was handed out before it and is finished: the lowest failure is the same in every run.
#include "model_format/convert/parallel_blocks.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace trit {
namespace {

struct Work {
  Work(uint64_t count, const std::atomic<bool>& stop) : blocks(count), cancel(stop) {}

  const uint64_t blocks;
  const std::atomic<bool>& cancel;
  std::atomic<uint64_t> next{0}, done{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;  // guards the two below
  uint64_t failed_block = UINT64_MAX;
  Status status;

  void run(const BlockFunction& worker, const std::function<void(uint64_t)>& progress) {
    while (!failed && !cancel) {
      const uint64_t block = next++;
      if (block >= blocks) return;
      Status result = run_one(worker, block);
      if (!result.ok()) fail(block, std::move(result));
      const uint64_t finished = ++done;
      if (progress) progress(finished);
    }
  }

  // Memory that runs out in a thread must not end the process.
  static Status run_one(const BlockFunction& worker, uint64_t block) {
    try {
      return worker(block);
    } catch (const std::bad_alloc&) {
      return Status(Code::kMemory, "out of memory");
    }
  }

  void fail(uint64_t block, Status why) {
    failed = true;
    const std::lock_guard<std::mutex> lock(mutex);
    if (block >= failed_block) return;
    failed_block = block;
    status = std::move(why);
  }
};

// Ends its threads also where the progress throws.
struct Threads {
  Work* work;
  std::vector<std::thread> list;

  void join() {
    for (std::thread& t : list)
      if (t.joinable()) t.join();
  }
  ~Threads() {
    work->failed = true;
    join();
  }
};

}  // namespace

Status parallel_blocks(uint64_t blocks, uint32_t threads, const std::atomic<bool>& cancel,
                       const std::function<BlockFunction()>& make_worker,
                       const std::function<void(uint64_t done)>& progress) {
  Work work(blocks, cancel);
  std::vector<BlockFunction> workers = {make_worker()};
  while (workers.size() < std::min<uint64_t>(threads, blocks)) workers.push_back(make_worker());
  Threads others{&work, {}};
  others.list.reserve(workers.size());
  for (size_t i = 1; i < workers.size(); ++i) {
    try {
      others.list.emplace_back([&work, &worker = workers[i]] { work.run(worker, nullptr); });
    } catch (const std::exception&) {
      break;  // the system gives no more threads: those there are do the work
    }
  }
  work.run(workers[0], progress);
  others.join();
  if (work.failed) return work.status;
  if (work.done < blocks) return Status(Code::kCancelled, "interrupted");
  return Status();
}

}  // namespace trit
