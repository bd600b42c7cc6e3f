// The self-check of `tritstack doctor`: every kernel of a level on one small input each, compared
// with scalar bit for bit. Milliseconds; the tests of the kernels are tests/kernels.
#ifndef TRITSTACK_CMD_COMMON_KERNEL_CHECK_H_
#define TRITSTACK_CMD_COMMON_KERNEL_CHECK_H_

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace trit {

// Names of the kernels that the self-check runs: one for each entry of KernelTable.
std::vector<std::string> checked_kernels();

// Those of them whose results are not scalar's.
std::vector<std::string> wrong_kernels(const KernelTable& table);

}  // namespace trit

#endif  // TRITSTACK_CMD_COMMON_KERNEL_CHECK_H_
