// Sums of a level with dpbusd, which adds the products of 4 codes and 4 activations to a lane of 32
// bits. The digits of x86_digits.inl go in where they stand: factors 1, 4, 16.
#include "kernels/x86_int32_sums.inl"

constexpr uint32_t kSums = 3, kMaxVectors = 32;
constexpr uint32_t kSumOf[kTritsPerByte] = {0, 1, 2, 0, 1};

TRIT_INLINE u8v operand(const Digits& d, uint32_t j) {
  const uint8_t mask = static_cast<uint8_t>(3 << 2 * (j % 3));
  return (j < 3 ? d.low : d.high) & mask;
}
TRIT_INLINE i32v total(const Sum s[kSums]) {
  return s[0] + (s[1] >> 2) + (s[2] >> 4);
}
