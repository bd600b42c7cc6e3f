// Ctrl-C (and SIGTERM, SIGHUP) as a flag that commands look at, so that destructors run and nothing
// is half written. A second signal that nobody took note of ends the process at once.
#ifndef TRITSTACK_CMD_COMMON_INTERRUPT_H_
#define TRITSTACK_CMD_COMMON_INTERRUPT_H_

#include <atomic>

#include "runtime/include/tritstack.h"

namespace trit {

// Installs the handler, once per process.
void catch_interrupts();
// Set by a signal.
std::atomic<bool>& interrupted();
// What Ctrl-C was for has stopped, so it is over. SIGTERM and SIGHUP are for the whole program:
// they stay.
void forget_interrupt();
// The session that a signal cancels too; NULL: none. Call before it is closed.
void cancel_on_interrupt(trit_session* session);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_INTERRUPT_H_
