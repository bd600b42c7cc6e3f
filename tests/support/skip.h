// Skipping a test case out loud: `if (shared_data().empty()) return skip("no ../shared/data");`
#ifndef TRITSTACK_TESTS_SUPPORT_SKIP_H_
#define TRITSTACK_TESTS_SUPPORT_SKIP_H_

#include <string>

namespace trit {

// The current test case counts as skipped; "SKIPPED <test case>: <why>" is printed at its end.
void skip(const std::string& why);
std::string& skip_reason();  // of the current test case; empty: not skipped

// The folder of real checkpoints and golden results: $TRIT_SHARED_DATA or ../shared/data, empty
// when it is not there (a user's clone has none).
std::string shared_data();

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_SKIP_H_
