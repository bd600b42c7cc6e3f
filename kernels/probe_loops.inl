// The two loops of probes.cc, once per instruction set: the includer has opened a region and a
// namespace and supplies Vector, a register of int8, and step(sum, codes, x), which adds products.
//
// The int8 loop keeps more sums than an instruction has cycles of latency times units (10 are
// enough for every CPU known), so it waits for nothing but those units. The empty asm makes its
// operands unknown to the compiler, which would otherwise compute one sum for all, or nothing. The
// sums have names and are no array: GCC 12 would keep an array on the stack.

#define TRIT_SUMS(Each) \
  Each(0) Each(1) Each(2) Each(3) Each(4) Each(5) Each(6) Each(7) Each(8) Each(9)
#define TRIT_DECLARE_SUM(k) Vector sum##k = x;
#define TRIT_ADD_TO_SUM(k)         \
  sum##k = step(sum##k, codes, x); \
  __asm__ volatile("" : TRIT_REGISTER(sum##k), TRIT_REGISTER(codes));

constexpr uint32_t kSums = 10;

static void run_int8(uint64_t rounds) {
  Vector codes, x;
  memset(&codes, 2, sizeof codes);
  memset(&x, 0x35, sizeof x);
  TRIT_SUMS(TRIT_DECLARE_SUM)
  for (uint64_t r = 0; r < rounds; ++r) {
    TRIT_SUMS(TRIT_ADD_TO_SUM)
  }
}

#undef TRIT_SUMS
#undef TRIT_DECLARE_SUM
#undef TRIT_ADD_TO_SUM

static void run_read(const uint8_t* bytes, size_t size) {
  for (size_t i = 0; i < size; i += kProbeReadBytes)
    TRIT_UNROLL for (size_t k = 0; k < kProbeReadBytes; k += sizeof(Vector)) {
      Vector value;
      memcpy(&value, bytes + i + k, sizeof value);
      __asm__ volatile("" : TRIT_REGISTER(value));
    }
}
