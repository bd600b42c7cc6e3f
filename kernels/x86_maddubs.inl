// Sums of a level without dpbusd: vpmaddubsw multiplies codes with activations and adds pairs, so a
// row's sum is two int16 until it is widened. Operands, with factors 1, 4 and, apart, 4:
//   u0, u2, u3            4 u1            4 u4 (8 vectors fit even when bytes are malformed:
//                                          4 * 3 * 128 * 2 * 8 = 24576)
typedef words Sum;
constexpr uint32_t kSums = 3, kMaxVectors = 8;
constexpr uint32_t kSumOf[kTritsPerByte] = {0, 1, 0, 0, 2};

TRIT_INLINE Sum add_dot(Sum sum, u8v codes, i32v x) {
  return sum + multiply_pairs(codes, x);
}
TRIT_INLINE i32v widen(Sum sum) {
  return add_pairs(sum);
}
TRIT_INLINE u8v operand(const Digits& d, uint32_t j) {
  if (j == 2) return shifted(d.low, 4);
  const uint8_t mask = j == 0 || j == 3 ? 3 : 12;
  return (j < 2 ? d.low : d.high) & mask;
}
TRIT_INLINE i32v total(const Sum s[kSums]) {
  return widen(s[0]) + ((widen(s[1]) + widen(s[2])) >> 2);
}
TRIT_INLINE Sum begin_run(i32v) {
  return Sum{};
}
TRIT_INLINE i32v end_run(i32v sum, Sum run) {
  return sum + widen(run);
}
// n codes of a byte position sum to at most 2 n + 1 (only a run that begins at the top digit of a
// malformed byte has the 1: its other digits are small), each times offset * 128, in pairs.
TRIT_INLINE size_t max_steps(uint32_t offset) {
  return (32767 / (2 * 128 * offset) - 1) / 2;
}
