// cpuid and xgetbv by their manuals (Intel SDM volume 1, 14.3 and 15.2): a vector extension may be
// used when cpuid lists it and XCR0 says that the system saves its registers. On Arm a program may
// not ask the CPU; the system answers.
#include "kernels/cpu_features.h"

#include "kernels/target.h"

#if TRIT_X86
#include <cpuid.h>
#elif TRIT_ARM && defined(__APPLE__)
#include <sys/sysctl.h>
#elif TRIT_ARM && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace trit {

#if TRIT_X86

static unsigned saved_registers() {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

CpuFeatures cpu_features() {
  CpuFeatures f = {};
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return f;
  const unsigned saved = saved_registers();
  const bool ymm = (saved & 0x06) == 0x06, zmm = (saved & 0xe6) == 0xe6;
  f.f16c = ymm && (c & bit_F16C);
  f.fma = ymm && (c & bit_FMA);
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  f.avx2 = ymm && (b & bit_AVX2);
  f.avx512f = zmm && (b & bit_AVX512F);
  f.avx512bw = zmm && (b & bit_AVX512BW);
  f.avx512vl = zmm && (b & bit_AVX512VL);
  f.avx512vnni = zmm && (c & bit_AVX512VNNI);
  f.avx512vbmi = zmm && (c & bit_AVX512VBMI);
  f.avxvnni = __get_cpuid_count(7, 1, &a, &b, &c, &d) && ymm && (a & 0x10);
  return f;
}

#elif TRIT_ARM && defined(__APPLE__)

static bool has(const char* feature) {
  int value = 0;
  size_t size = sizeof(value);
  return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
}

CpuFeatures cpu_features() {
  CpuFeatures f = {};
  f.dotprod = has("hw.optional.arm.FEAT_DotProd");
  f.i8mm = has("hw.optional.arm.FEAT_I8MM");
  return f;
}

#elif TRIT_ARM && defined(__linux__)

CpuFeatures cpu_features() {
  CpuFeatures f = {};
  f.dotprod = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
  f.i8mm = getauxval(AT_HWCAP2) & HWCAP2_I8MM;
  return f;
}

#else

CpuFeatures cpu_features() {
  return {};
}

#endif

}  // namespace trit
