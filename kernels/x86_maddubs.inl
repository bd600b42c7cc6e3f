// Sums of a level without dpbusd: vpmaddubsw multiplies codes with activations and adds pairs, so a
// row's sum is two int16 until those are added too.
typedef words Sum;
TRIT_INLINE Sum add_dot(Sum sum, u8v codes, i32v x) {
  return sum + multiply_pairs(codes, x);
}
TRIT_INLINE Sum begin_run(i32v) {
  return Sum{};
}
TRIT_INLINE i32v end_run(i32v sum, Sum run) {
  return sum + add_pairs(run);
}
// n codes of a byte position sum to at most 2 n + 1 (only a run that begins at the top digit of a
// malformed byte has the 1: its other digits are small), each times offset * 128, in pairs.
TRIT_INLINE size_t max_steps(uint32_t offset) {
  return (32767 / (2 * 128 * offset) - 1) / 2;
}
