// See plane_stack.h. One mutex guards all but the pages; the thread alone moves pages, with the
// mutex given up: what it works on is part of mapped_, which nobody else changes.
#include "runtime/plane_stack.h"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <system_error>
#include <utility>

#include "runtime/available_memory.h"

namespace trit {

namespace {

// So much comes in at once: a change of mind, or a pass on the same core, waits for no more.
constexpr uint64_t kFillBytes = 256 << 10;

// While passes run, what they do without so far takes a twentieth of one core, and 160 MB a second
// from a disk: for that the system works on any core, and interrupts whoever is there.
constexpr int kRest = 19, kRestPerDiskByte = 6;  // nanoseconds

// What comes in within the time of a few tokens, and how long to wait for it.
constexpr uint64_t kSmallBytes = 64 << 20;
constexpr std::chrono::milliseconds kPatience{20};

// How long the calling thread should rest for all that it ever did. What came from a disk is known
// on Linux only.
std::chrono::nanoseconds rest_due() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  const auto busy = std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  uint64_t disk_bytes = 0;
#ifdef RUSAGE_THREAD
  rusage usage = {};
  if (getrusage(RUSAGE_THREAD, &usage) == 0)
    disk_bytes = static_cast<uint64_t>(usage.ru_inblock) * 512;
#endif
  return kRest * busy + std::chrono::nanoseconds(disk_bytes * kRestPerDiskByte);
}

bool is_part(const PlaneSelection& part, const PlaneSelection& of) {
  return common_planes(part, of) == part;
}

}  // namespace

// A set that tells the stack when its last user is done.
struct PlaneStack::Published {
  PlaneSet set;
  PlaneStack* stack = nullptr;
  ~Published() {
    if (stack) stack->release_set();
  }
};

PlaneStack::PlaneStack(const ModelReader& reader, const PlaneOptions& options)
    : reader_(reader),
      force_(options.force),
      all_planes_(options.all_planes),
      plan_(reader, options.caps),
      budget_(options.budget_bytes),
      pinned_blocks_(reader.blocks().size()),
      filled_(reader.blocks().size(), 0),
      out_of_memory_(
          std::make_shared<const Status>(Code::kMemory, reader.path() + ": out of memory")) {}

Result<std::unique_ptr<PlaneStack>> PlaneStack::open(const ModelReader& reader,
                                                     const PlaneOptions& options) {
  TRIT_RETURN_IF_ERROR(check_caps(reader, options.caps));
  std::unique_ptr<PlaneStack> stack(new PlaneStack(reader, options));
  stack->whole_blocks_ = reader.whole_blocks();
  // A budget that is too small is refused when a session says how much it needs in all.
  const Result<PlaneSelection> first =
      stack->choose(stack->plan_, stack->budget_, stack->whole_blocks_);
  stack->target_ = first.ok() ? first.value() : PlaneSelection{reader.base_blocks(), options.caps};
  stack->mapped_ = stack->target_;
  TRIT_RETURN_IF_ERROR(stack->reserve());
  TRIT_RETURN_IF_ERROR(stack->file_.set_resident(pages_of(reader, stack->mapped_)));
  stack->publish(stack->mapped_).reset();
  try {
    stack->thread_ = std::thread([raw = stack.get()] { raw->work(); });
  } catch (const std::system_error&) {
    return Status(Code::kMemory, reader.path() + ": cannot start a thread");
  }
  return stack;
}

// Addresses for all that may ever come; where they are scarce for what is here, or for what is used
// now.
Status PlaneStack::reserve() {
  const BlockInfo& last = reader_.blocks()[target_.blocks - 1];
  Status status;
  for (const uint64_t end : {reader_.file_bytes(), reader_.size(), last.offset + last.bytes}) {
    Result<MappedFile> file = MappedFile::reserve(reader_.file(), reader_.head_bytes(), end);
    status = file.status();
    if (!file.ok()) continue;
    file_ = std::move(file.value());
    break;
  }
  return status;
}

PlaneStack::~PlaneStack() {
  {
    const Lock lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  current_.reset();
}

// ---- what is asked for

size_t PlaneStack::whole_blocks_now() const {
  size_t whole = std::max(reader_.whole_blocks_now(), reader_.base_blocks());
  const BlockInfo* blocks = reader_.blocks().data();
  while (blocks[whole - 1].offset + blocks[whole - 1].bytes > reader_.head_bytes() + file_.size())
    --whole;  // no addresses for it
  return whole;
}

Status PlaneStack::too_small(const MemoryPlan& plan, size_t least, uint64_t budget) const {
  const MemoryUse use = plan.use(least);
  const auto part = [](const char* name, uint64_t bytes) {
    return std::string(", ") + name + " " + size_text(bytes);
  };
  return Status(Code::kMemory,
                reader_.path() + ": memory: expected at least " + std::to_string(use.total()) +
                    " bytes (" + size_text(use.total()) +
                    part(all_planes_ ? "planes" : "base planes", use.weights) +
                    part("cache", use.cache) + part("activations", use.activations + use.threads) +
                    part("tokenizer and tables", use.head + use.tokenizer) +
                    part("process", use.process + use.aside) + "), found " + size_text(budget));
}

Result<PlaneSelection> PlaneStack::choose(const MemoryPlan& plan, uint64_t budget,
                                          size_t most) const {
  if (budget == 0) return PlaneSelection{most, plan.caps()};
  const size_t least = least_blocks(most);
  if (plan.bytes(least) <= budget)
    return PlaneSelection{plan.longest_prefix(budget, most).value(), plan.caps()};
  if (!force_ || reader_.file()->io() != IoMode::kMap) return too_small(plan, least, budget);
  return PlaneSelection{least, plan.caps()};
}

uint64_t PlaneStack::smallest() const {
  return plan_.bytes(least_blocks(std::min(whole_blocks_, pinned_blocks_)));
}

PlaneStack::SetPointer PlaneStack::publish(const PlaneSelection& selection) {
  auto published = std::make_shared<Published>();
  published->set = make_plane_set(reader_, file_, selection);
  published->stack = this;
  ++living_sets_;
  return std::exchange(current_, SetPointer(published, &published->set));
}

PlaneStack::SetPointer PlaneStack::set_target(const PlaneSelection& target) {
  SetPointer old;
  if (!is_part(current_->selection, target))
    old = publish(common_planes(current_->selection, target));
  target_ = target;
  idle_ = false;
  wake_.notify_all();
  return old;
}

void PlaneStack::release_set() {
  const Lock lock(mutex_);
  --living_sets_;
  wake_.notify_all();
}

PlaneStack::SetPointer PlaneStack::current() const {
  const Lock lock(mutex_);
  return current_;
}

Status PlaneStack::check_file(const PlaneSet& set) const {
  return reader_.file()->check(reader_.file()->io() == IoMode::kMap ? set.file_end : 0);
}

Status PlaneStack::ask(const MemoryPlan& plan, uint64_t budget, size_t pinned, SetPointer* old) {
  const size_t whole = whole_blocks_now();
  const auto target = choose(plan, budget, std::min(whole, pinned));
  if (!target.ok()) return target.status();
  *old = set_target(target.value());
  whole_blocks_ = whole;
  return Status();
}

Status PlaneStack::set_budget(uint64_t bytes) {
  SetPointer old;
  const Lock lock(mutex_);
  TRIT_RETURN_IF_ERROR(ask(plan_, bytes, pinned_blocks_, &old));
  budget_ = bytes;
  return Status();
}

Status PlaneStack::set_aside(uint64_t bytes) {
  SetPointer old;
  const Lock lock(mutex_);
  MemoryPlan plan = plan_;
  plan.set_aside(bytes);
  if (claimed_) TRIT_RETURN_IF_ERROR(ask(plan, budget_, pinned_blocks_, &old));
  plan_ = std::move(plan);
  return Status();
}

Status PlaneStack::look_at_file() {
  SetPointer old;
  const Lock lock(mutex_);
  return ask(plan_, budget_, pinned_blocks_, &old);
}

Status PlaneStack::set_caps(const PlaneCaps& caps) {
  TRIT_RETURN_IF_ERROR(check_caps(reader_, caps));
  SetPointer old;
  const Lock lock(mutex_);
  MemoryPlan plan = plan_;
  plan.set_caps(caps);
  TRIT_RETURN_IF_ERROR(ask(plan, budget_, pinned_blocks_, &old));
  plan_ = std::move(plan);
  return Status();
}

Status PlaneStack::set_prefix(size_t blocks) {
  const size_t base = reader_.base_blocks(), all = reader_.blocks().size();
  if (blocks < base || blocks > all)
    return Status(Code::kUsage, reader_.path() + ": blocks: expected " + std::to_string(base) +
                                    " to " + std::to_string(all) + ", found " +
                                    std::to_string(blocks));
  SetPointer old;
  const Lock lock(mutex_);
  TRIT_RETURN_IF_ERROR(ask(plan_, budget_, blocks, &old));
  pinned_blocks_ = blocks;
  return Status();
}

Status PlaneStack::settle() {
  Lock lock(mutex_);
  changed_.wait(lock, [&] {
    return idle_ && mapped_ == target_ && current_->selection == target_ && living_sets_ == 1;
  });
  const auto error = std::exchange(error_, nullptr);
  return error ? *error : Status();
}

PlaneStack::Figures PlaneStack::figures() const {
  const Lock lock(mutex_);
  Figures f;
  f.budget_bytes = budget_;
  f.resident_bytes = plan_.bytes(current_->selection.blocks);
  f.smallest_bytes = smallest();
  f.whole_bytes = plan_.bytes(whole_blocks_);
  f.blocks = current_->selection.blocks;
  f.whole_blocks = whole_blocks_;
  return f;
}

// ---- sessions

Result<std::unique_ptr<SessionMemory>> PlaneStack::claim(const SessionShape& shape) {
  const MemoryUse use = session_use(reader_, shape);
  const uint64_t bytes = use.cache + use.activations;
  // What cannot be resident is refused here: an overcommitting system would grant it, and end the
  // process when the cache fills.
  if (bytes > physical_bytes())
    return Status(Code::kMemory, "session: a context of " + std::to_string(shape.context) +
                                     " needs " + size_text(bytes) +
                                     ", more than there is; try a smaller context");
  std::unique_ptr<SessionMemory> session(new SessionMemory(this));
  Lock lock(mutex_);
  sessions_.reserve(sessions_.size() + 1);
  MemoryPlan plan = plan_;
  plan.add(use);
  const auto target = choose(plan, budget_, std::min(whole_blocks_, pinned_blocks_));
  if (!target.ok()) return target.status();
  SetPointer old = set_target(target.value());
  plan_ = std::move(plan);
  session->use_ = use;
  claimed_ = true;
  const uint64_t errors_before = errors_;
  lock.unlock();
  old.reset();
  lock.lock();
  const bool owned = reader_.file()->io() == IoMode::kRead;
  changed_.wait(lock, [&] {
    return !surplus() && (!owned || errors_ != errors_before || filled(current_->selection));
  });
  if (owned && errors_ != errors_before) return *last_error_;
  TRIT_RETURN_IF_ERROR(session->memory_.allocate(bytes));
  sessions_.push_back(session.get());
  idle_ = false;
  wake_.notify_all();
  // A small model is whole before it is used; a large one comes in while it is.
  if (plan_.bytes(current_->selection.blocks) <= kSmallBytes)
    changed_.wait_for(lock, kPatience, [&] { return idle_; });
  return session;
}

void PlaneStack::give_back(SessionMemory* session) {
  Lock lock(mutex_);
  changed_.wait(lock, [&] { return committing_ != session; });
  sessions_.erase(std::remove(sessions_.begin(), sessions_.end(), session), sessions_.end());
  lock.unlock();
  session->memory_.free();
  lock.lock();
  plan_.remove(session->use_);
  // More than before: no set is published here, nothing can fail.
  const auto target = choose(plan_, budget_, std::min(whole_blocks_, pinned_blocks_));
  if (target.ok() && is_part(target_, target.value())) set_target(target.value()).reset();
}

SessionMemory::~SessionMemory() {
  if (stack_) stack_->give_back(this);
}

void SessionMemory::want_huge_pages() {
  const std::lock_guard<std::mutex> lock(stack_->mutex_);
  memory_.want_huge_pages();
  committed_ = false;
  stack_->idle_ = false;
  stack_->wake_.notify_all();
}

// ---- the thread

bool PlaneStack::surplus() const {
  return !is_part(mapped_, target_);
}

bool PlaneStack::reclaimable() const {
  return budget_ != 0 && smallest() > budget_;
}

bool PlaneStack::filled(const PlaneSelection& planes) const {
  if (!claimed_ || reclaimable()) return true;
  for (size_t i = 0; i < planes.blocks; ++i)
    if (filled_[i] < reader_.blocks()[i].bytes && planes.holds(reader_, i)) return false;
  return true;
}

void PlaneStack::work() {
  Lock lock(mutex_);
  while (!stop_) {
    bool busy = true;
    try {
      busy = step(&lock);
    } catch (const std::bad_alloc&) {
      if (!lock.owns_lock()) lock.lock();
      give_up(out_of_memory_);
      wake_.wait_for(lock, std::chrono::milliseconds(1));
    }
    if (busy) continue;
    idle_ = true;
    changed_.notify_all();
    wake_.wait(lock);
  }
}

// What must leave leaves first; then what runs already comes in, what sessions were promised, and
// last what is new.
bool PlaneStack::step(Lock* lock) {
  return drop(lock) || fill(lock, current_->selection) || commit(lock) || grow(lock);
}

bool PlaneStack::drop(Lock* lock) {
  if (!surplus() || living_sets_ > 1) return false;
  const PlaneSelection keep = common_planes(mapped_, target_);
  const std::vector<PageRange> pages = pages_of(reader_, keep);
  lock->unlock();
  // A page that cannot be reserved again is empty all the same.
  static_cast<void>(file_.set_resident(pages));
  lock->lock();
  mapped_ = keep;
  for (size_t i = 0; i < filled_.size(); ++i)
    if (!mapped_.holds(reader_, i)) filled_[i] = 0;
  changed_.notify_all();
  return true;
}

bool PlaneStack::fill(Lock* lock, const PlaneSelection& planes) {
  if (!claimed_ || reclaimable()) return false;
  size_t i = 0;
  while (i < planes.blocks &&
         (filled_[i] == reader_.blocks()[i].bytes || !planes.holds(reader_, i)))
    ++i;
  if (i == planes.blocks) return false;
  const BlockInfo& block = reader_.blocks()[i];
  const uint64_t begin = block.offset + filled_[i];
  const uint64_t bytes = std::min(kFillBytes, block.bytes - filled_[i]);
  lock->unlock();
  const Status status = file_.fill(begin, begin + bytes);
  lock->lock();
  filled_[i] += bytes;
  if (!status.ok()) {
    // No pass may use what is in use; what is not yet is read again when it is asked for again.
    const bool in_use = current_->selection.holds(reader_, i);
    if (in_use) reader_.file()->set_failed();
    filled_[i] = in_use ? block.bytes : 0;
    give_up(std::make_shared<const Status>(status));
  }
  changed_.notify_all();
  return true;
}

bool PlaneStack::commit(Lock* lock) {
  if (reclaimable()) return false;  // a cache that is never filled may be all that does not fit
  const auto next = std::find_if(sessions_.begin(), sessions_.end(),
                                 [](const SessionMemory* s) { return !s->committed_; });
  if (next == sessions_.end()) return false;
  SessionMemory* session = *next;
  committing_ = session;
  session->committed_ = true;  // until it turns out, or somebody says, that there is more
  lock->unlock();
  const bool more = session->memory_.commit_more();
  lock->lock();
  if (more) session->committed_ = false;
  committing_ = nullptr;
  changed_.notify_all();
  return true;
}

bool PlaneStack::grow(Lock* lock) {
  if (surplus()) return false;  // waits for a pass that uses what must leave
  if (!(mapped_ == target_)) {
    const PlaneSelection target = target_;
    const std::vector<PageRange> pages = pages_of(reader_, target);
    lock->unlock();
    const Status status = file_.set_resident(pages);
    lock->lock();
    if (status.ok())
      mapped_ = target;
    else
      give_up(std::make_shared<const Status>(status));
    return true;
  }
  if (current_->selection == mapped_) return false;
  const auto due_before = rest_due();
  if (fill(lock, mapped_)) {
    const bool passes_run = current_.use_count() > 1;
    if (passes_run) wake_.wait_for(*lock, rest_due() - due_before);
    return true;
  }
  SetPointer old = publish(mapped_);
  changed_.notify_all();
  lock->unlock();
  old.reset();
  lock->lock();
  return true;
}

// Stays with what is in use; the next change that is asked for tries again.
void PlaneStack::give_up(const std::shared_ptr<const Status>& status) {
  if (!error_) error_ = status;
  last_error_ = status;
  ++errors_;
  target_ = current_->selection;
}

}  // namespace trit
