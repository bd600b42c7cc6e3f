// trit_gemv and trit_gemm for one x86 level, included inside its region and namespace. Registers
// are 32 or 64 bytes: a strip is the rows of two of them (one tile, or two), so every activation
// that is broadcast is used twice. The level supplies, besides what f32_ops.inl brings,
//   Digits decode(vector)        a register of bytes, taken apart
//   u8v digit(digits, j)         codes u_j, one in each byte
//   u8v operand(digits, j)       u_j times a factor, to be summed in sum kSumOf[j] of kSums
//   i32v total(sums)             those sums with their factors divided out, for kMaxVectors vectors
//   Sum add_dot(sum, codes, x)   sum + codes . x in each lane; i32v widen(sum)
//   max_steps(offset)            how many add_dot of folded codes a Sum has room for
//   kTokensAtOnce                 tokens whose sums fill the registers

constexpr uint32_t kRegs = 2;
constexpr uint32_t kRegRows = sizeof(f32v) / sizeof(float);
constexpr uint32_t kStripRows = kRegs * kRegRows;

struct Strip {
  const TritView* w;
  PlaneWalk walk;
  uint64_t row, row_end;  // whole tiles
};

static Strip first_strip(const TritView* w, uint32_t tile_begin, uint32_t tile_end) {
  return {w, plane_walk(w), uint64_t{tile_begin} * kTileRows, uint64_t{tile_end} * kTileRows};
}

// First row of register i. One past the end computes the rows of the first again, for nobody.
TRIT_INLINE uint64_t register_row(const Strip& s, uint32_t i) {
  const uint64_t row = s.row + i * kRegRows;
  return row < s.row_end ? row : s.row;
}

// The bytes of row `row` in vector `vector` of its tile begin here.
TRIT_INLINE uint64_t digits_at(const PlaneWalk& walk, uint64_t row, uint64_t vector) {
  return (row / kTileRows * walk.row_vectors + vector) * kVectorBytes + row % kTileRows * 4;
}

TRIT_INLINE i32v broadcast(const int8_t* x) {
  return load_dword(x) - i32v{};
}

// scale * prefix_factor of register i.
TRIT_INLINE f32v load_scales(const Strip& s, uint32_t part, uint32_t g, uint32_t i) {
  const uint64_t row = register_row(s, i);
  const f32v scale =
      s.w->encoding == Encoding::kNative
          ? load_part(s.w->row_scales + row)
          : load_f16(group_scales(s.w, s.walk, part, row / kTileRows, g) + row % kTileRows);
  return scale * s.w->prefix_factor;
}

// Those of the next strip: a stream too slow for the hardware to see.
TRIT_INLINE void prefetch_scales(const Strip& s, uint32_t part, uint32_t g) {
  if (s.w->encoding == Encoding::kNative) return;
  const uint64_t tile = (s.row + kStripRows) / kTileRows;
  TRIT_UNROLL for (uint32_t i = 0; i < kStripRows / kTileRows; ++i) _mm_prefetch(
      reinterpret_cast<const char*>(group_scales(s.w, s.walk, part, tile + i, g)), _MM_HINT_T0);
}

TRIT_INLINE int32_t correction(const PlaneWalk& walk, int32_t x_sum) {
  return static_cast<int32_t>(walk.offset * static_cast<uint32_t>(x_sum));
}

TRIT_INLINE f32v to_f32(i32v n) {
  return __builtin_convertvector(n, f32v);
}

TRIT_INLINE void store_rows(const Strip& s, const f32v acc[kRegs], float* y) {
  TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) {
    const uint64_t row = s.row + i * kRegRows;
    const uint64_t end = s.w->rows < s.row_end ? s.w->rows : s.row_end;
    if (row + kRegRows <= end)
      memcpy(y + row, &acc[i], sizeof(f32v));
    else if (row < end)
      memcpy(y + row, &acc[i], (end - row) * sizeof(float));
  }
}

// sums[g] = 3 * sums[g] + u . x of one plane in the groups [begin, end). A function of its own, so
// that all registers are for its sums and tables.
static __attribute__((noinline)) void fold_plane(const Strip& s, uint32_t plane, uint32_t begin,
                                                 uint32_t end, const int8_t* x,
                                                 i32v (*sums)[kRegs]) {
  const uint64_t first = first_vector(s.walk, begin);
  const uint8_t* bytes = s.w->digits[plane] + digits_at(s.walk, s.row, first);
  const size_t second =
      digits_at(s.walk, register_row(s, 1), first) - digits_at(s.walk, s.row, first);
  // What follows the last vectors of a strip of two tiles is the strip after the other.
  const size_t tile_bytes = s.walk.row_vectors * kVectorBytes;
  size_t left = tile_bytes - first * kVectorBytes;
  x += first * kVectorCols;
  for (uint32_t g = begin; g < end; ++g, ++sums) {
    TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i)(*sums)[i] += (*sums)[i] + (*sums)[i];
    for (uint32_t vectors = vectors_of(s.walk, g), run; vectors > 0; vectors -= run) {
      run = vectors < kMaxVectors ? vectors : kMaxVectors;
      const size_t skip = left <= kPrefetchBytes && kRegRows == kTileRows ? tile_bytes : 0;
      const size_t ahead = kPrefetchBytes + skip;
      left -= run * kVectorBytes;
      Sum partial[kRegs][kSums] = {};
      for (uint32_t v = 0; v < run; ++v, bytes += kVectorBytes, x += kVectorCols) {
        _mm_prefetch(reinterpret_cast<const char*>(bytes) + ahead, _MM_HINT_T0);
        if (kRegRows == kTileRows)
          _mm_prefetch(reinterpret_cast<const char*>(bytes) + ahead + second, _MM_HINT_T0);
        const Digits d[kRegs] = {decode(bytes), decode(bytes + second)};
        TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) {
          const i32v in = broadcast(x + 4 * j);
          TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) partial[i][kSumOf[j]] =
              add_dot(partial[i][kSumOf[j]], operand(d[i], j), in);
        }
      }
      TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i)(*sums)[i] += total(partial[i]);
    }
  }
}

static void trit_gemv(const TritView* w, const QuantizedActivations* x, uint32_t tile_begin,
                      uint32_t tile_end, float* y) {
  constexpr uint32_t kRun = 8;  // groups: long enough a stretch of one plane, and of one's tables
  for (Strip s = first_strip(w, tile_begin, tile_end); s.row < s.row_end; s.row += kStripRows) {
    f32v acc[kRegs] = {};
    for (uint32_t begin = 0; begin < s.walk.groups; begin += kRun) {
      const uint32_t end = s.walk.groups - begin < kRun ? s.walk.groups : begin + kRun;
      i32v sums[kMaxPlanes][kRun][kRegs];
      memset(sums, 0, s.walk.parts * sizeof(sums[0]));
      for (uint32_t p = 0; p < w->planes; ++p)
        fold_plane(s, p, begin, end, x->codes, sums[p / s.walk.part_planes]);
      for (uint32_t g = begin; g < end; ++g)
        for (uint32_t part = 0; part < s.walk.parts; ++part) {
          prefetch_scales(s, part, g);
          TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) acc[i] +=
              to_f32(sums[part][g - begin][i] - correction(s.walk, x->sums[g])) *
              (load_scales(s, part, g, i) * x->scales[g]);
        }
    }
    store_rows(s, acc, y);
  }
}

// A strip unpacked to one code a weight, planes folded: [part][vector][digit][register].
static void unpack_strip(const Strip& s, u8v* codes) {
  for (uint32_t part = 0; part < s.walk.parts; ++part)
    for (uint64_t v = 0; v < s.walk.row_vectors; ++v, codes += kTritsPerByte * kRegs)
      TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) {
        const uint64_t at = digits_at(s.walk, register_row(s, i), v);
        u8v folded[kTritsPerByte] = {};
        for (uint32_t p = part; p < part + s.walk.part_planes; ++p) {
          const Digits d = decode(s.w->digits[p] + at);
          TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) folded[j] +=
              folded[j] + folded[j] + digit(d, j);
        }
        TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) codes[j * kRegs + i] = folded[j];
      }
}

// sums += codes . x for kTokens tokens over `steps` digits. A function of its own, so that all
// registers are for its sums.
template <uint32_t kTokens>
static __attribute__((noinline)) void dot_codes(const u8v* codes, const int8_t* const* x,
                                                uint32_t steps, uint32_t max_run,
                                                i32v (*sums)[kRegs]) {
  const int8_t* in[kTokens];
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) in[t] = x[t];
  for (size_t k = 0; k < steps;) {
    const size_t end = steps - k < max_run ? steps : k + max_run;
    Sum s[kTokens][kRegs];
    TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) s[t][0] = s[t][1] = Sum{};
    for (; k < end; ++k, codes += kRegs) {
      const u8v weights[kRegs] = {codes[0], codes[1]};
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) {
        const i32v token = broadcast(in[t] + 4 * k);
        TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) s[t][i] =
            add_dot(s[t][i], weights[i], token);
      }
    }
    TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
        TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) sums[t][i] += widen(s[t][i]);
  }
}

// A strip times the `live` tokens from `token`; where fewer than kTokens, the last one again.
template <uint32_t kTokens>
static void multiply_strip(const Strip& s, const u8v* codes, const QuantizedActivations* x,
                           uint64_t token, uint64_t live, float* y, size_t y_stride) {
  const PlaneWalk& walk = s.walk;
  f32v acc[kTokens][kRegs] = {};
  for (uint32_t g = 0; g < walk.groups; ++g)
    for (uint32_t part = 0; part < walk.parts; ++part) {
      const uint64_t first = first_vector(walk, g);
      const int8_t* in[kTokens];
      size_t at[kTokens];  // of a token's scale and sum
      i32v sums[kTokens][kRegs];
      for (uint32_t t = 0; t < kTokens; ++t) {
        const uint64_t from = token + (t < live ? t : live - 1);
        in[t] = x->codes + from * x->code_stride + first * kVectorCols;
        at[t] = from * x->groups + g;
        sums[t][0] = sums[t][1] = i32v{} - correction(walk, x->sums[at[t]]);
      }
      dot_codes<kTokens>(codes + (part * walk.row_vectors + first) * (kTritsPerByte * kRegs), in,
                         vectors_of(walk, g) * kTritsPerByte, max_steps(walk.offset), sums);
      const f32v scale[kRegs] = {load_scales(s, part, g, 0), load_scales(s, part, g, 1)};
      for (uint32_t t = 0; t < kTokens; ++t)
        TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) acc[t][i] +=
            to_f32(sums[t][i]) * (scale[i] * x->scales[at[t]]);
    }
  for (uint32_t t = 0; t < kTokens && t < live; ++t)
    store_rows(s, acc[t], y + (token + t) * y_stride);
}

static void trit_gemm(const TritView* w, const QuantizedActivations* x, uint32_t n_tokens,
                      uint32_t tile_begin, uint32_t tile_end, float* y, size_t y_stride,
                      void* scratch) {
  constexpr uint32_t kFew = kTokensAtOnce / 2;
  u8v* codes = static_cast<u8v*>(scratch);
  for (Strip s = first_strip(w, tile_begin, tile_end); s.row < s.row_end; s.row += kStripRows) {
    unpack_strip(s, codes);
    uint64_t t = 0;
    for (; t + kFew < n_tokens; t += kTokensAtOnce) {
      const uint64_t live = n_tokens - t < kTokensAtOnce ? n_tokens - t : kTokensAtOnce;
      multiply_strip<kTokensAtOnce>(s, codes, x, t, live, y, y_stride);
    }
    if (t < n_tokens) multiply_strip<kFew>(s, codes, x, t, n_tokens - t, y, y_stride);
  }
}

static void install_products(KernelTable* table) {
  table->trit_gemv = trit_gemv;
  table->trit_gemm = trit_gemm;
}
