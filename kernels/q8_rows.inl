// q8_0 rows, included by attention.inl: floats to groups of a scale and codes, and back. A few rows
// of values at a time go through a buffer in the L1 cache, so arithmetic is that of floats.

void convert_to_q8(const float* x, uint32_t n, uint8_t* out) {
  for (uint32_t count; n > 0; n -= count, x += count, out += 2 + count) {
    count = n < kQ8Block ? n : kQ8Block;
    const float largest = largest_magnitude(x, count) / 127.0f;
    const uint16_t bits = f32_to_f16(largest < 65504.0f ? largest : 65504.0f);
    memcpy(out, &bits, sizeof(bits));
    const float scale = f16_to_f32(bits);
    quantize_group(x, count, scale > 0 ? 1.0f / scale : 0.0f, reinterpret_cast<int8_t*>(out + 2));
  }
}

TRIT_INLINE void expand_q8(const uint8_t* row, uint32_t n, float* out) {
  for (uint32_t count; n > 0; n -= count, row += 2 + count, out += count) {
    count = n < kQ8Block ? n : kQ8Block;
    uint16_t bits[kPartLanes];
    memcpy(bits, row, 2);
    TRIT_UNROLL for (uint32_t l = 1; l < kPartLanes; ++l) bits[l] = bits[0];
    const f32v scale = load_f16(bits);
    const int8_t* codes = reinterpret_cast<const int8_t*>(row + 2);
    uint32_t i = 0;
    for (; i + kPartLanes <= count; i += kPartLanes) {
      const f32v values = load_i8(codes + i) * scale;
      memcpy(out + i, &values, sizeof(values));
    }
    for (; i < count; ++i) out[i] = static_cast<float>(codes[i]) * scale[0];
  }
}
