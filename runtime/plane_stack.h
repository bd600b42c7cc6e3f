// Which planes are in use, and the promise that all memory together stays within a budget. Sessions
// claim their bytes here; the weights take the longest prefix that fits into the rest. Everything
// may change at any time, from any thread, while sessions run: a smaller set is published at once
// and what nobody needs any more leaves with the last pass that uses it; a larger set is brought in
// by a thread of the stack and published when it is whole. Dropping comes first, so there is never
// more than the budget.
//
// Three selections say where the stack is: current (what new passes use) is part of mapped (what
// has addresses), and both move towards target (what was asked for). Only set_target() changes
// target, only the stack's thread changes mapped.
// Not here: what the bytes are (memory_plan.h), what a set looks like (plane_set.h).
#ifndef TRITSTACK_RUNTIME_PLANE_STACK_H_
#define TRITSTACK_RUNTIME_PLANE_STACK_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "model_format/mapped_file.h"
#include "model_format/reader.h"
#include "model_format/status.h"
#include "runtime/committed_memory.h"
#include "runtime/memory_plan.h"
#include "runtime/plane_set.h"

namespace trit {

struct PlaneOptions {
  PlaneCaps caps;
  uint64_t budget_bytes = 0;  // of the whole process; 0: no limit
  // Where not even the base fits: run all the same, from pages that the system takes back.
  bool force = false;
  // Refuse a budget that does not hold all planes that the caps let in, rather than use fewer.
  bool all_planes = false;
};

class SessionMemory;

class PlaneStack {
 public:
  // The file holds the base at least. `reader` outlives the stack.
  static Result<std::unique_ptr<PlaneStack>> open(const ModelReader& reader,
                                                  const PlaneOptions& options);
  ~PlaneStack();
  PlaneStack(const PlaneStack&) = delete;
  PlaneStack& operator=(const PlaneStack&) = delete;

  // For one forward pass. Allocates nothing.
  std::shared_ptr<const PlaneSet> current() const;
  // After a pass over `set`: kIo when the file was cut or failed while it was in use.
  Status check_file(const PlaneSet& set) const;

  // Gives all mapped pages back to the system; they come again when they are touched. For whoever
  // reads a model piece by piece.
  void release_pages() const { file_.release(0, UINT64_MAX); }

  // Each looks at the size of the file again: blocks that a download has brought since can join.
  // An error (kMemory, kUsage) changes nothing.
  Status set_budget(uint64_t bytes);
  // What the program needs for itself; only noted until a session says what is needed in all.
  Status set_aside(uint64_t bytes);
  Status look_at_file();
  Status set_caps(const PlaneCaps& caps);
  // At most the first `blocks` blocks, whatever the budget.
  Status set_prefix(size_t blocks);
  // Waits until what was asked for is in use and resident, other threads' passes permitting. The
  // error that stopped a larger set from coming in since the last call.
  Status settle();

  // The bytes of one more session, which may take planes away (and then waits for them to leave);
  // kMemory: not even the base would be left. The stack outlives it.
  Result<std::unique_ptr<SessionMemory>> claim(const SessionShape& shape);

  struct Figures {
    uint64_t budget_bytes;    // 0: none
    uint64_t resident_bytes;  // the plan's, with the set in use, all sessions, what is set aside
    uint64_t smallest_bytes;  // the least budget that works, with all sessions
    uint64_t whole_bytes;     // the least that leaves nothing out
    size_t blocks;            // the prefix in use
    size_t whole_blocks;      // of the file, when last looked at
  };
  Figures figures() const;

 private:
  friend class SessionMemory;
  using Lock = std::unique_lock<std::mutex>;
  using SetPointer = std::shared_ptr<const PlaneSet>;

  PlaneStack(const ModelReader& reader, const PlaneOptions& options);
  struct Published;
  Status reserve();
  // The longest prefix within the budget (0: none) and the first `most` blocks.
  Result<PlaneSelection> choose(const MemoryPlan& plan, uint64_t budget, size_t most) const;
  // What is asked for from now on; an error changes nothing. *old: see below.
  Status ask(const MemoryPlan& plan, uint64_t budget, size_t pinned, SetPointer* old);
  // Both return the set that is current no more: its release takes the lock.
  [[nodiscard]] SetPointer set_target(const PlaneSelection& target);
  [[nodiscard]] SetPointer publish(const PlaneSelection& selection);
  Status too_small(const MemoryPlan& plan, size_t least, uint64_t budget) const;
  // The shortest prefix that may be in use when the first `most` blocks are here.
  size_t least_blocks(size_t most) const { return all_planes_ ? most : reader_.base_blocks(); }
  uint64_t smallest() const;
  size_t whole_blocks_now() const;
  void release_set();
  void give_back(SessionMemory* session);

  // The thread; each step is done with the lock given up where it takes time.
  void work();
  bool step(Lock* lock);
  bool drop(Lock* lock);
  bool fill(Lock* lock, const PlaneSelection& planes);
  bool commit(Lock* lock);
  bool grow(Lock* lock);
  void give_up(const std::shared_ptr<const Status>& status);
  bool surplus() const;      // more is mapped than asked for
  bool reclaimable() const;  // forced: pages come when touched and leave when others need them
  bool filled(const PlaneSelection& planes) const;

  const ModelReader& reader_;
  const bool force_, all_planes_;
  MappedFile file_;  // the blocks; after open only the thread changes it

  mutable std::mutex mutex_;
  mutable std::condition_variable wake_;     // for the thread: something to do
  mutable std::condition_variable changed_;  // for callers: the thread did something
  MemoryPlan plan_;                          // with the claims of all sessions
  uint64_t budget_;
  size_t pinned_blocks_, whole_blocks_;
  PlaneSelection target_, mapped_;
  SetPointer current_;
  size_t living_sets_ = 0;  // the current one, and older ones that passes still use
  std::vector<SessionMemory*> sessions_;
  const SessionMemory* committing_ = nullptr;
  bool claimed_ = false;          // there was a session: pages come in from then on
  std::vector<uint64_t> filled_;  // [blocks] bytes that came in
  // Pointers: where memory ran out nothing can be copied.
  std::shared_ptr<const Status> error_;  // the first that settle() has not told yet, or null
  std::shared_ptr<const Status> last_error_;
  const std::shared_ptr<const Status> out_of_memory_;
  uint64_t errors_ = 0;  // so far
  bool idle_ = false, stop_ = false;
  std::thread thread_;
};

// A session's memory: counted while this lives, resident soon after it began to.
class SessionMemory {
 public:
  ~SessionMemory();
  uint8_t* data() const { return memory_.data(); }
  // For whoever reads far more of it than one conversation's beginning.
  void want_huge_pages();

 private:
  friend class PlaneStack;
  explicit SessionMemory(PlaneStack* stack) : stack_(stack) {}

  PlaneStack* const stack_;
  MemoryUse use_;  // as counted
  CommittedMemory memory_;
  bool committed_ = false;  // nothing left to commit
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_PLANE_STACK_H_
