// Which level runs: one ordered list of instruction sets. A table is built by painting every level
// that this CPU supports, from scalar up, so an entry that a level does not improve keeps the best
// one below it and no entry is ever null.
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu_features.h"
#include "kernels/kernels.h"
#include "kernels/plane_walk.h"
#include "kernels/target.h"

namespace trit {

struct Level {
  const char* isa;
  bool (*supported)(const CpuFeatures& f);
  void (*install)(KernelTable* table);
};

static bool always(const CpuFeatures&) {
  return true;
}
#if TRIT_X86
static bool has_avx2(const CpuFeatures& f) {
  return f.avx2 && f.f16c && f.fma;
}
static bool has_avxvnni(const CpuFeatures& f) {
  return has_avx2(f) && f.avxvnni;
}
static bool has_avx512(const CpuFeatures& f) {
  return has_avx2(f) && f.avx512f && f.avx512bw && f.avx512vl;
}
static bool has_avx512vnni(const CpuFeatures& f) {
  return has_avx512(f) && f.avx512vnni;
}
static bool has_avx512vbmi(const CpuFeatures& f) {
  return has_avx512vnni(f) && f.avx512vbmi;
}
#endif

#if TRIT_ARM_REGIONS
static bool has_dotprod(const CpuFeatures& f) {
  return f.dotprod;
}
static bool has_i8mm(const CpuFeatures& f) {
  return f.dotprod && f.i8mm;
}
#endif

// Slowest first; a level follows those it paints over.
static const Level kLevels[] = {
    {"scalar", always, install_scalar},
#if TRIT_X86
    {"avx2", has_avx2, install_avx2},
    {"avxvnni", has_avxvnni, install_avxvnni},
    {"avx512", has_avx512, install_avx512},
    {"avx512vnni", has_avx512vnni, install_avx512vnni},
    {"avx512vbmi", has_avx512vbmi, install_avx512vbmi},
#endif
#if TRIT_ARM
    {"neon", always, install_neon},
#endif
#if TRIT_ARM_REGIONS
    {"dotprod", has_dotprod, install_dotprod},
    {"i8mm", has_i8mm, install_i8mm},
#endif
};
constexpr uint32_t kLevelCount = sizeof(kLevels) / sizeof(kLevels[0]);

static KernelTable tables[kLevelCount];  // [0, available)
static const char* names[kLevelCount];
static uint32_t available;
static const KernelTable* chosen;

static const KernelTable* find(const char* isa) {
  for (uint32_t i = 0; i < available; ++i)
    if (!strcmp(names[i], isa)) return &tables[i];
  return nullptr;
}

static void build_tables() {
  const CpuFeatures features = cpu_features();
  KernelTable table = {};
  for (const Level& level : kLevels) {
    if (!level.supported(features)) continue;
    level.install(&table);
    table.isa = names[available] = level.isa;
    tables[available++] = table;
  }
  const char* wanted = getenv("TRIT_ISA");
  chosen = wanted && *wanted ? find(wanted) : &tables[available - 1];
}

// The first caller builds, others wait for it; a static local would bring in the C++ library.
static void ensure_built() {
  enum : int { kNew, kBuilding, kBuilt };
  static int state = kNew;
  if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == kBuilt) return;
  int expected = kNew;
  if (__atomic_compare_exchange_n(&state, &expected, kBuilding, false, __ATOMIC_ACQUIRE,
                                  __ATOMIC_ACQUIRE)) {
    build_tables();
    __atomic_store_n(&state, kBuilt, __ATOMIC_RELEASE);
  }
  while (__atomic_load_n(&state, __ATOMIC_ACQUIRE) != kBuilt) {
  }
}

const char* const* available_isas(uint32_t* count) {
  ensure_built();
  *count = available;
  return names;
}

const KernelTable* kernels_for(const char* isa) {
  ensure_built();
  return find(isa);
}

const KernelTable* default_kernels() {
  ensure_built();
  return chosen;
}

size_t gemm_scratch_bytes(const TritView* w) {
  const PlaneWalk walk = plane_walk(w);
  return kStripTiles * walk.parts * walk.row_vectors * kVectorCodes;
}

}  // namespace trit
