// Asks a running call to stop. A request made while nothing runs is forgotten, so it can never stop
// the next call by surprise. cancel() is one lock-free exchange: any thread or signal handler.
#ifndef TRITSTACK_RUNTIME_CANCEL_FLAG_H_
#define TRITSTACK_RUNTIME_CANCEL_FLAG_H_

#include <atomic>

namespace trit {

class CancelFlag {
 public:
  void cancel() {
    State running = kRunning;
    state_.compare_exchange_strong(running, kCancelled);
  }
  bool cancelled() const { return state_.load(std::memory_order_relaxed) == kCancelled; }

  // A call that can be cancelled runs while one of these lives.
  class Running {
   public:
    explicit Running(CancelFlag* flag) : flag_(flag) { flag_->state_ = kRunning; }
    ~Running() { flag_->state_ = kIdle; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    CancelFlag* flag_;
  };

 private:
  enum State : int { kIdle, kRunning, kCancelled };
  std::atomic<State> state_{kIdle};
  static_assert(std::atomic<State>::is_always_lock_free, "cancel() must suit a signal handler");
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_CANCEL_FLAG_H_
