// See interrupt.h. The handler does only what a handler may: atomics, tcsetattr, _exit.
#include "cmd/common/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include "cmd/common/terminal.h"

namespace trit {

namespace {

std::atomic<bool> flag{false}, must_leave{false};
std::atomic<trit_session*> session_to_cancel{nullptr};

void on_signal(int number) {
  if (number != SIGINT) must_leave = true;
  if (flag.exchange(true)) {
    restore_terminal();
    _exit(TRIT_CANCELLED);
  }
  if (trit_session* session = session_to_cancel.load()) trit_session_cancel(session);
}

}  // namespace

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_signal;  // no SA_RESTART: a waiting read() returns
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
}

std::atomic<bool>& interrupted() {
  return flag;
}

void forget_interrupt() {
  flag = false;  // first: a signal in between stays
  if (must_leave) flag = true;
}

void cancel_on_interrupt(trit_session* session) {
  session_to_cancel.store(session);
}

}  // namespace trit
