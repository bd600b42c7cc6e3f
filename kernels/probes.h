// What this CPU could do at best, for shares of it: loops that only read memory, and loops that
// only multiply int8 numbers in registers. `tritstack bench` measures its roofline with them.
// Not here: time, threads, buffers (cmd/bench_roofline.h).
#ifndef TRITSTACK_KERNELS_PROBES_H_
#define TRITSTACK_KERNELS_PROBES_H_

#include <stddef.h>
#include <stdint.h>

namespace trit {

// probe_read takes multiples of it, aligned to it.
constexpr size_t kProbeReadBytes = 256;

// Reads every byte once, in one ascending stream, with the widest loads there are.
void probe_read(const void* bytes, size_t size);

// `rounds` rounds of independent int8 dot products, in registers, with the instruction that the
// kernels of this level multiply with; a product counts when it has been added to a sum of int32
// (avx2 and avx512 have no instruction for that: of int16). Returns the multiply-adds done.
// `isa`: one of available_isas().
uint64_t probe_int8(const char* isa, uint64_t rounds);

}  // namespace trit

#endif  // TRITSTACK_KERNELS_PROBES_H_
