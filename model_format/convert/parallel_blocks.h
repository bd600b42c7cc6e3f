// Runs numbered blocks of work on several threads. Which thread takes which block is left to
// chance, so results must depend on the block number alone.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_PARALLEL_BLOCKS_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_PARALLEL_BLOCKS_H_

#include <atomic>
#include <cstdint>
#include <functional>

#include "model_format/status.h"

namespace trit {

using BlockFunction = std::function<Status(uint64_t block)>;

// `make_worker` is called once per thread, here; what it returns may hold buffers and is called by
// that thread alone. `progress(done)` is called by the calling thread, which works too. Stops at
// the first failure, and the failing block with the lowest number decides the status, whatever the
// number of threads. kCancelled when `cancel` is set before all is done.
Status parallel_blocks(uint64_t blocks, uint32_t threads, const std::atomic<bool>& cancel,
                       const std::function<BlockFunction()>& make_worker,
                       const std::function<void(uint64_t done)>& progress);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_PARALLEL_BLOCKS_H_
