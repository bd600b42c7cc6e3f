// See probes.h; the loops are in probe_loops.inl. Here: what one step of each level is.
#include "kernels/probes.h"

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/target.h"

#if TRIT_X86
#define TRIT_REGISTER "+v"
#elif TRIT_ARM
#define TRIT_REGISTER "+w"
#endif

#if TRIT_X86

TRIT_TARGET_BEGIN("avx2")
namespace trit {
namespace probe_avx2 {
typedef __m256i Vector;
TRIT_INLINE Vector step(Vector sum, Vector codes, Vector x) {
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, x));
}
#include "kernels/probe_loops.inl"
}  // namespace probe_avx2
}  // namespace trit
TRIT_TARGET_END

TRIT_TARGET_BEGIN("avx2,avxvnni")
namespace trit {
namespace probe_avxvnni {
typedef __m256i Vector;
TRIT_INLINE Vector step(Vector sum, Vector codes, Vector x) {
  return _mm256_dpbusd_avx_epi32(sum, codes, x);
}
#include "kernels/probe_loops.inl"
}  // namespace probe_avxvnni
}  // namespace trit
TRIT_TARGET_END

TRIT_TARGET_BEGIN("avx512f,avx512bw")
namespace trit {
namespace probe_avx512 {
typedef __m512i Vector;
TRIT_INLINE Vector step(Vector sum, Vector codes, Vector x) {
  return _mm512_add_epi16(sum, _mm512_maddubs_epi16(codes, x));
}
#include "kernels/probe_loops.inl"
}  // namespace probe_avx512
}  // namespace trit
TRIT_TARGET_END

TRIT_TARGET_BEGIN("avx512f,avx512bw,avx512vnni")
namespace trit {
namespace probe_avx512vnni {
typedef __m512i Vector;
TRIT_INLINE Vector step(Vector sum, Vector codes, Vector x) {
  return _mm512_dpbusd_epi32(sum, codes, x);
}
#include "kernels/probe_loops.inl"
}  // namespace probe_avx512vnni
}  // namespace trit
TRIT_TARGET_END

#endif  // TRIT_X86

#if TRIT_ARM
namespace trit {
namespace probe_neon {
typedef int8x16_t Vector;
TRIT_INLINE Vector step(Vector sum, Vector codes, Vector x) {
  const int16x8_t low = vmull_s8(vget_low_s8(codes), vget_low_s8(x));
  return vreinterpretq_s8_s32(vpadalq_s16(vreinterpretq_s32_s8(sum), vmlal_high_s8(low, codes, x)));
}
#include "kernels/probe_loops.inl"
}  // namespace probe_neon
}  // namespace trit
#endif  // TRIT_ARM

#if TRIT_ARM_REGIONS

TRIT_TARGET_BEGIN("arch=armv8.2-a+dotprod")
namespace trit {
namespace probe_dotprod {
typedef int8x16_t Vector;
TRIT_INLINE Vector step(Vector sum, Vector codes, Vector x) {
  return vreinterpretq_s8_s32(vdotq_s32(vreinterpretq_s32_s8(sum), codes, x));
}
#include "kernels/probe_loops.inl"
}  // namespace probe_dotprod
}  // namespace trit
TRIT_TARGET_END

TRIT_TARGET_BEGIN("arch=armv8.2-a+dotprod+i8mm")
namespace trit {
namespace probe_i8mm {
typedef int8x16_t Vector;
TRIT_INLINE Vector step(Vector sum, Vector codes, Vector x) {
  return vreinterpretq_s8_s32(vmmlaq_s32(vreinterpretq_s32_s8(sum), codes, x));
}
#include "kernels/probe_loops.inl"
}  // namespace probe_i8mm
}  // namespace trit
TRIT_TARGET_END

#endif  // TRIT_ARM_REGIONS

namespace trit {

// Plain C, which a compiler may give whatever vectors the build's baseline has.
namespace probe_scalar {

constexpr uint32_t kLanes = 16;

static void run_int8(uint64_t rounds) {
  int16_t codes[kLanes], x[kLanes];
  int32_t sums[kLanes] = {};
  for (uint32_t i = 0; i < kLanes; ++i) codes[i] = 2, x[i] = static_cast<int16_t>(i);
  for (uint64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+m"(codes));
    for (uint32_t i = 0; i < kLanes; ++i) sums[i] += codes[i] * x[i];
  }
  __asm__ volatile("" : "+m"(sums));
}

static void run_read(const uint8_t* bytes, size_t size) {
  uint64_t sum = 0, word;
  for (size_t i = 0; i < size; i += sizeof word) {
    memcpy(&word, bytes + i, sizeof word);
    sum += word;
  }
  __asm__ volatile("" : "+m"(sum));
}

}  // namespace probe_scalar

struct Probe {
  const char* isa;
  uint64_t macs_per_round;
  void (*run_int8)(uint64_t rounds);
  void (*run_read)(const uint8_t* bytes, size_t size);
};

static const Probe kProbes[] = {
    {"scalar", probe_scalar::kLanes, probe_scalar::run_int8, probe_scalar::run_read},
#define TRIT_PROBE(isa, loops, macs) \
  { isa, loops::kSums *macs, loops::run_int8, loops::run_read }
#if TRIT_X86
    TRIT_PROBE("avx2", probe_avx2, 32),
    TRIT_PROBE("avxvnni", probe_avxvnni, 32),
    TRIT_PROBE("avx512", probe_avx512, 64),
    TRIT_PROBE("avx512vnni", probe_avx512vnni, 64),
    TRIT_PROBE("avx512vbmi", probe_avx512vnni, 64),
#endif
#if TRIT_ARM
    TRIT_PROBE("neon", probe_neon, 16),
#endif
#if TRIT_ARM_REGIONS
    TRIT_PROBE("dotprod", probe_dotprod, 16),
    TRIT_PROBE("i8mm", probe_i8mm, 32),
#endif
};

static const Probe& probe_of(const char* isa) {
  for (const Probe& probe : kProbes)
    if (!strcmp(probe.isa, isa)) return probe;
  return kProbes[0];
}

uint64_t probe_int8(const char* isa, uint64_t rounds) {
  const Probe& probe = probe_of(isa);
  probe.run_int8(rounds);
  return probe.macs_per_round * rounds;
}

void probe_read(const void* bytes, size_t size) {
  uint32_t count;
  const char* const* isas = available_isas(&count);
  probe_of(isas[count - 1]).run_read(static_cast<const uint8_t*>(bytes), size);
}

}  // namespace trit
