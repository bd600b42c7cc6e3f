// What happens when a mapped file is cut short, or its disk fails, while it is in use: instead of
// the signal SIGBUS that ends the process, the mapping turns into zeros and its owner is told by a
// flag. Nothing computed from it since is worth anything: who sees the flag ends with an error.
// Only mappings that are registered are handled; all other faults go where they went before.
#ifndef TRITSTACK_MODEL_FORMAT_FILE_GUARD_H_
#define TRITSTACK_MODEL_FORMAT_FILE_GUARD_H_

#include <atomic>
#include <cstddef>

#include "model_format/status.h"

namespace trit {

// Takes over SIGBUS for the whole process, once; later calls do nothing. A handler that was there
// is kept for faults outside of registered mappings, one that is installed later replaces ours.
Status guard_file_access();

// A fault in [address, address + bytes) sets *poisoned and makes every page from the fault to the
// end read as zeros. Whole pages; ranges do not overlap. Any thread. The range must be
// unregistered before it is unmapped; *poisoned outlives that.
void register_mapping(const void* address, size_t bytes, std::atomic<bool>* poisoned);
void unregister_mapping(const void* address);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_FILE_GUARD_H_
