// What this CPU can run and its operating system saves: facts only, dispatch.cc draws the
// conclusions. A feature whose registers the system does not save at a task switch counts as
// absent.
#ifndef TRITSTACK_KERNELS_CPU_FEATURES_H_
#define TRITSTACK_KERNELS_CPU_FEATURES_H_

namespace trit {

struct CpuFeatures {
  bool avx2, f16c, fma, avxvnni;
  bool avx512f, avx512bw, avx512vl, avx512vnni, avx512vbmi;
  bool dotprod, i8mm;  // Arm
};

CpuFeatures cpu_features();

}  // namespace trit

#endif  // TRITSTACK_KERNELS_CPU_FEATURES_H_
