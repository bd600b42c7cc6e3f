// How one source file holds code for one instruction set without flags of its own: everything
// between TRIT_TARGET_BEGIN("avx2,f16c") and TRIT_TARGET_END may use those instructions. Headers
// are included before the region, so nothing of theirs is compiled for a CPU that may not be there.
// Also here: the install function of each file, which paints its entries over a table.
#ifndef TRITSTACK_KERNELS_TARGET_H_
#define TRITSTACK_KERNELS_TARGET_H_

#if defined(__x86_64__) || defined(__i386__)
#define TRIT_X86 1
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes its own _mm512_undefined_ps for a mistake once it is inlined (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#else
#define TRIT_X86 0
#endif

#if defined(__aarch64__)
#define TRIT_ARM 1
#include <arm_neon.h>
#else
#define TRIT_ARM 0
#endif
// clang before 16 (Apple's before 15) shows its arm_neon.h to whole files only, not to regions.
#if TRIT_ARM && (!defined(__clang__) || __clang_major__ >= 16 || \
                 (defined(__apple_build_version__) && __clang_major__ >= 15))
#define TRIT_ARM_REGIONS 1
#else
#define TRIT_ARM_REGIONS 0
#endif

#define TRIT_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TRIT_TARGET_BEGIN(features) \
  TRIT_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define TRIT_TARGET_END TRIT_PRAGMA(clang attribute pop)
#define TRIT_UNROLL TRIT_PRAGMA(clang loop unroll(full))
#else
#define TRIT_TARGET_BEGIN(features) TRIT_PRAGMA(GCC push_options) TRIT_PRAGMA(GCC target(features))
#define TRIT_TARGET_END TRIT_PRAGMA(GCC pop_options)
#define TRIT_UNROLL TRIT_PRAGMA(GCC unroll 16)
#endif

// Small functions of a region must become part of their caller: a template or inline function
// left alone would be a weak symbol that the linker may keep for the whole program.
#define TRIT_INLINE static inline __attribute__((always_inline))

namespace trit {

// The instruction, correctly rounded everywhere; the C function would set errno through libm.
TRIT_INLINE float f32_sqrt(float x) {
#if TRIT_X86
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
#elif TRIT_ARM
  return vget_lane_f32(vsqrt_f32(vdup_n_f32(x)), 0);
#else
  return __builtin_sqrtf(x);
#endif
}

// Between two looks of a spinning thread: leaves the core to its sibling and the bus to others.
TRIT_INLINE void cpu_relax() {
#if TRIT_X86
  _mm_pause();
#elif TRIT_ARM
  __asm__ volatile("isb");  // `yield` does nothing on most cores
#endif
}

struct KernelTable;
void install_scalar(KernelTable* table);  // fills every entry
#if TRIT_X86
void install_avx2(KernelTable* table);
void install_avxvnni(KernelTable* table);
void install_avx512(KernelTable* table);
void install_avx512vnni(KernelTable* table);
void install_avx512vbmi(KernelTable* table);
#endif
#if TRIT_ARM
void install_neon(KernelTable* table);
#endif
#if TRIT_ARM_REGIONS
void install_dotprod(KernelTable* table);
void install_i8mm(KernelTable* table);
#endif

}  // namespace trit

#endif  // TRITSTACK_KERNELS_TARGET_H_
