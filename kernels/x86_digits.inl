// Digits of a register of bytes by tables of 16, for levels without a table of 128: included inside
// the region and namespace of one register width, after f32_ops.inl. The file supplies
// multiply_high (16 bits), look_up and look_up_32 (tables of 16 and 32 bytes).
//
//   hi = n / 27                   16-bit multiply by 2428 / 65536, even and odd bytes apart
//   lo = n - 27 hi                0..26
//   high = table[hi]              bits  0 0 0 0 u4 u4 u3 u3
//   low  = table[lo]              bits  0 0 u2 u2 u1 u1 u0 u0

struct Digits {
  u8v low, high;  // u0 to u2, u3 and u4, in two bits each
};

struct DigitTables {
  alignas(32) uint8_t low[32], high[16], times27[16];
};
static constexpr DigitTables digit_tables() {
  DigitTables t = {};
  for (int i = 0; i < 10; ++i) {  // 9 from malformed bytes: u4 = 3
    t.high[i] = static_cast<uint8_t>(i % 3 | i / 3 << 2);
    t.times27[i] = static_cast<uint8_t>(27 * i);
  }
  for (int i = 0; i < 27; ++i) t.low[i] = static_cast<uint8_t>(i % 3 | i / 3 % 3 << 2 | i / 9 << 4);
  return t;
}
static constexpr DigitTables kDigitTables = digit_tables();

TRIT_INLINE Digits decode(const uint8_t* bytes) {
  u8v n;
  memcpy(&n, bytes, sizeof(n));
  const words odd = words{} + 0xff00, even = words{} + 0xff;
  const words hi_even = multiply_high((words)n & even, 2428),
              hi_odd = multiply_high((words)n & odd, 2428);
  const u8v hi = (u8v)(hi_even | (hi_odd & odd));
  const u8v lo = n - look_up(kDigitTables.times27, hi);
  return {look_up_32(kDigitTables.low, lo), look_up(kDigitTables.high, hi)};
}

// Digits that stand at bit `bits`, brought down to bit 0.
TRIT_INLINE u8v shifted(u8v digits, int bits) {
  return (u8v)((words)digits >> bits) & 3;
}
TRIT_INLINE u8v digit(const Digits& d, uint32_t j) {
  return j < 3 ? shifted(d.low, 2 * static_cast<int>(j))
               : shifted(d.high, 2 * static_cast<int>(j) - 6);
}
