// What the Arm levels share, included by each one's file inside its target region and namespace:
// how bytes become digits, and the walk of trit_gemv and trit_gemm over a matrix. A register holds
// a quarter of a vector: 4 lanes of 4 bytes are 4 rows of the tile. A level supplies a type with
//   add_plane   sums += digits . x over some vectors of one plane, 4 rows a register
//   dot_codes   the same for kTokens tokens, from unpacked codes
//   arrange     changes the order of unpacked codes to what its dot_codes reads
//   kBlock      the tokens that its dot_codes is best at
//
// Decoding a register n of bytes u0 + 3 u1 + 9 u2 + 27 u3 + 81 u4:
//
//   hi = n / 27 = n * 19 >> 9     exact for every byte
//   lo = n - 27 hi                0..26
//   digits = table[hi], table[lo] 2 tables of 10, 3 tables of 27: 5 signed digits, u - 1
//
// Signed digits, and codes folded of them, need no offset: a code of 4 planes is within -40..40,
// and 80 where bytes are malformed.

constexpr uint32_t kQuarters = 4;
constexpr size_t kPrefetchBytes = 4096;  // how far ahead of the decoder; may point past the plane
constexpr uint32_t kQuarterBytes = 16;
constexpr uint32_t kQuarterRows = kTileRows / kQuarters;

struct Entries {
  int8_t low[3][32], high[2][16];
};
static constexpr Entries make_entries() {
  Entries t = {};
  for (int i = 0; i < 27; ++i) {
    t.low[0][i] = static_cast<int8_t>(i % 3 - 1);
    t.low[1][i] = static_cast<int8_t>(i / 3 % 3 - 1);
    t.low[2][i] = static_cast<int8_t>(i / 9 - 1);
  }
  for (int i = 0; i < 10; ++i) {  // 9 from malformed bytes: u4 = 3
    t.high[0][i] = static_cast<int8_t>(i % 3 - 1);
    t.high[1][i] = static_cast<int8_t>(i / 3 - 1);
  }
  return t;
}
static constexpr Entries kEntries = make_entries();

struct Tables {
  int8x16x2_t low[3];
  int8x16_t high[2];
};

TRIT_INLINE Tables load_tables() {
  Tables t;
  TRIT_UNROLL for (uint32_t j = 0; j < 3; ++j) {
    t.low[j].val[0] = vld1q_s8(kEntries.low[j]);
    t.low[j].val[1] = vld1q_s8(kEntries.low[j] + 16);
#if !defined(__clang__)
    __asm__("" : "+w"(t.low[j]));  // GCC 12 would load both again for every lookup
#endif
  }
  TRIT_UNROLL for (uint32_t j = 0; j < 2; ++j) t.high[j] = vld1q_s8(kEntries.high[j]);
  return t;
}

struct Digits {
  int8x16_t of[kTritsPerByte];
};

TRIT_INLINE Digits decode(const Tables& t, const uint8_t* quarter) {
  const uint8x16_t n = vld1q_u8(quarter), reciprocal = vdupq_n_u8(19);
  const uint16x8_t low = vmull_u8(vget_low_u8(n), vget_low_u8(reciprocal));
  const uint16x8_t high = vmull_high_u8(n, reciprocal);
  const uint8x16_t high_bytes = vuzp2q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
  const uint8x16_t hi = vshrq_n_u8(high_bytes, 1), lo = vmlsq_u8(n, hi, vdupq_n_u8(27));
  return {{vqtbl2q_s8(t.low[0], lo), vqtbl2q_s8(t.low[1], lo), vqtbl2q_s8(t.low[2], lo),
           vqtbl1q_s8(t.high[0], hi), vqtbl1q_s8(t.high[1], hi)}};
}

TRIT_INLINE int8x16_t broadcast(const int8_t* x) {
  return vreinterpretq_s8_s32(vdupq_n_s32(load_dword(x)));
}

// scale * prefix_factor of 4 rows of a tile.
TRIT_INLINE float32x4_t load_scales(const TritView* w, const PlaneWalk& walk, uint32_t part,
                                    uint64_t tile, uint32_t g, uint32_t quarter) {
  const uint32_t row = quarter * kQuarterRows;
  if (w->encoding == Encoding::kNative)
    return vmulq_n_f32(vld1q_f32(w->row_scales + tile * kTileRows + row), w->prefix_factor);
  const uint16x4_t bits = vld1_u16(group_scales(w, walk, part, tile, g) + row);
  return vmulq_n_f32(vcvt_f32_f16(vreinterpret_f16_u16(bits)), w->prefix_factor);
}

// acc + f32(sum) * (scale * sx)
TRIT_INLINE float32x4_t add_scaled(float32x4_t acc, int32x4_t sum, float32x4_t scale,
                                   float x_scale) {
  return vfmaq_f32(acc, vcvtq_f32_s32(sum), vmulq_n_f32(scale, x_scale));
}

TRIT_INLINE void store_rows(const TritView* w, uint64_t tile, const float32x4_t acc[kQuarters],
                            float* rows) {
  float whole[kTileRows];
  TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) vst1q_f32(whole + q * kQuarterRows, acc[q]);
  memcpy(rows, whole, tile_rows(w, tile) * sizeof(float));
}

template <typename Level>
TRIT_INLINE void gemv(const TritView* w, const QuantizedActivations* x, uint32_t tile_begin,
                      uint32_t tile_end, float* y) {
  const PlaneWalk walk = plane_walk(w);
  const Tables tables = load_tables();
  for (uint64_t tile = tile_begin; tile < tile_end; ++tile) {
    float32x4_t acc[kQuarters] = {};
    for (uint32_t g = 0; g < walk.groups; ++g) {
      const uint64_t first = first_vector(walk, g), at = tile * walk.row_vectors + first;
      const int8_t* codes = x->codes + first * kVectorCols;
      for (uint32_t part = 0; part < walk.parts; ++part) {
        int32x4_t sums[kQuarters] = {};
        for (uint32_t p = part; p < part + walk.part_planes; ++p) {
          TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) sums[q] = vmulq_n_s32(sums[q], 3);
          Level::add_plane(tables, w->digits[p] + at * kVectorBytes, codes, vectors_of(walk, g),
                           sums);
        }
        TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) acc[q] =
            add_scaled(acc[q], sums[q], load_scales(w, walk, part, tile, g, q),
                       x->scales[g * x->group_stride]);
      }
    }
    store_rows(w, tile, acc, y + tile * kTileRows);
  }
}

// A tile, unpacked: [part][vector][digit][64] codes, one byte a weight.
struct Strip {
  const TritView* w;
  PlaneWalk walk;
  uint64_t tile;
  int8_t* codes;
};

TRIT_INLINE int8_t* group_codes(const Strip& s, uint32_t part, uint32_t g) {
  return s.codes + (part * s.walk.row_vectors + first_vector(s.walk, g)) * kVectorCodes;
}

TRIT_INLINE void unpack_strip(const Strip& s) {
  const Tables tables = load_tables();
  int8_t* out = s.codes;
  for (uint32_t part = 0; part < s.walk.parts; ++part)
    for (uint64_t v = 0; v < s.walk.row_vectors; ++v, out += kVectorCodes)
      TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) {
        const uint64_t at = (s.tile * s.walk.row_vectors + v) * kVectorBytes + q * kQuarterBytes;
        Digits codes = decode(tables, s.w->digits[part] + at);
        for (uint32_t p = part + 1; p < part + s.walk.part_planes; ++p) {
          const Digits next = decode(tables, s.w->digits[p] + at);
          TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) codes.of[j] =
              vmlaq_s8(next.of[j], codes.of[j], vdupq_n_s8(3));
        }
        TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j)
            vst1q_s8(out + j * kVectorBytes + q * kQuarterBytes, codes.of[j]);
      }
}

// kTokens tokens times a strip.
template <typename Level, uint32_t kTokens>
TRIT_INLINE void multiply_strip(const Strip& s, const QuantizedActivations* x, uint64_t token,
                                float* y, size_t y_stride) {
  const PlaneWalk& walk = s.walk;
  float32x4_t acc[kTokens][kQuarters] = {};
  for (uint32_t g = 0; g < walk.groups; ++g)
    for (uint32_t part = 0; part < walk.parts; ++part) {
      const int8_t* in = x->codes + token * x->code_stride + first_vector(walk, g) * kVectorCols;
      int32x4_t sums[kTokens][kQuarters] = {};
      Level::template dot_codes<kTokens>(group_codes(s, part, g), walk.offset, in, x->code_stride,
                                         vectors_of(walk, g), sums);
      TRIT_UNROLL for (uint32_t q = 0; q < kQuarters; ++q) {
        const float32x4_t scale = load_scales(s.w, walk, part, s.tile, g, q);
        TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) acc[t][q] =
            add_scaled(acc[t][q], sums[t][q], scale, x->scales[g * x->group_stride + token + t]);
      }
    }
  for (uint32_t t = 0; t < kTokens; ++t)
    store_rows(s.w, s.tile, acc[t], y + (token + t) * y_stride + s.tile * kTileRows);
}

template <typename Level>
TRIT_INLINE void gemm(const TritView* w, const QuantizedActivations* x, uint32_t n_tokens,
                      uint32_t tile_begin, uint32_t tile_end, float* y, size_t y_stride,
                      void* scratch) {
  Strip s = {w, plane_walk(w), tile_begin, static_cast<int8_t*>(scratch)};
  for (; s.tile < tile_end; ++s.tile) {
    unpack_strip(s);
    Level::arrange(s);
    uint64_t t = 0;
    for (; t + Level::kBlock <= n_tokens; t += Level::kBlock)
      multiply_strip<Level, Level::kBlock>(s, x, t, y, y_stride);
    for (; t < n_tokens; ++t) multiply_strip<Level, 1>(s, x, t, y, y_stride);
  }
}
