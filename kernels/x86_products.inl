// trit_gemv and trit_gemm for one x86 level, included inside its region and namespace. Registers
// are 32 or 64 bytes: a strip is the rows of two of them (one tile, or two), so every activation
// that is broadcast is used twice. The level supplies, besides what f32_ops.inl brings,
//   Digits decode(vector)        a register of bytes, taken apart
//   u8v digit(digits, j)         codes u_j, one in each byte
//   u8v operand(digits, j)       u_j times a factor, to be summed in sum kSumOf[j] of kSums
//   i32v total(sums)             those sums with their factors divided out, for kMaxVectors vectors
//   Sum add_dot(sum, codes, x)   sum + codes . x in each lane
//   begin_run, end_run, max_steps(offset)
//                                a run of add_dot of folded codes on top of an int32 sum, in a Sum
//                                that begins as the first says; how many it has room for
//   kTokensAtOnce                tokens whose sums fill the registers in trit_gemm
//   kFewTokens                   tokens for which decoding anew beats unpacking one plane

constexpr uint32_t kRegs = 2;
// How far ahead of the decoder to fetch into L2; may point past the plane. What is under way must
// outlast the memory's latency: on Zen 4 and 5, 8 to 24 KiB are alike, 4 KiB loses a sixth, 48 KiB
// a little. And how far ahead from there into L1.
constexpr size_t kPrefetchBytes = 12288, kPrefetchL1Bytes = 1024;
constexpr uint32_t kRegRows = sizeof(f32v) / sizeof(float);

struct Strip {
  const TritView* w;
  PlaneWalk walk;
  uint64_t row, row_end;  // of the strip, of the range (whole tiles)
  uint32_t rows;
};

static Strip first_strip(const TritView* w, uint32_t tile_begin, uint32_t tile_end,
                         uint32_t registers) {
  return {w, plane_walk(w), uint64_t{tile_begin} * kTileRows, uint64_t{tile_end} * kTileRows,
          registers * kRegRows};
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
  for (uint64_t row = s.row + s.rows; row < s.row + 2 * s.rows; row += kTileRows)
    _mm_prefetch(reinterpret_cast<const char*>(group_scales(s.w, s.walk, part, row / kTileRows, g)),
                 _MM_HINT_T0);
}

TRIT_INLINE int32_t correction(const PlaneWalk& walk, int32_t x_sum) {
  return static_cast<int32_t>(walk.offset * static_cast<uint32_t>(x_sum));
}

TRIT_INLINE f32v to_f32(i32v n) {
  return __builtin_convertvector(n, f32v);
}

// How far ahead of a vector to fetch. What follows the last vectors of a strip of two tiles is the
// strip after the other.
TRIT_INLINE size_t bytes_ahead(const Strip& s, uint64_t vector) {
  const size_t left = (s.walk.row_vectors - vector) * kVectorBytes;
  const bool skip = s.rows > kTileRows && left <= kPrefetchBytes;
  return kPrefetchBytes + (skip ? s.walk.row_vectors * kVectorBytes : 0);
}

TRIT_INLINE void prefetch_vector(const uint8_t* bytes, size_t ahead) {
  prefetch(bytes + ahead);
  __builtin_prefetch(bytes + kPrefetchL1Bytes);
}

// The rows of a strip to or from y, as far as y has them.
template <uint32_t kCount>
TRIT_INLINE void copy_rows(const Strip& s, float* y, f32v (&rows)[kCount], bool to_y) {
  const uint64_t end = s.w->rows < s.row_end ? s.w->rows : s.row_end;
  if (s.row >= end) return;
  if (s.row + kCount * kRegRows <= end)
    to_y ? memcpy(y + s.row, rows, sizeof(rows)) : memcpy(rows, y + s.row, sizeof(rows));
  else
    to_y ? memcpy(y + s.row, rows, (end - s.row) * sizeof(float))
         : memcpy(rows, y + s.row, (end - s.row) * sizeof(float));
}

// The codes of kTokens inputs, the `live` ones from `token`, the last one again where there are
// fewer; and the rows of their outputs in kCount registers.
template <uint32_t kTokens, uint32_t kCount>
struct Block {
  const int8_t* codes[kTokens];
  f32v acc[kTokens][kCount];
};

template <uint32_t kTokens, uint32_t kCount>
TRIT_INLINE void begin_block(const QuantizedActivations& x, uint64_t token, uint64_t live,
                             Block<kTokens, kCount>* block) {
  TRIT_UNROLL for (uint64_t t = 0; t < kTokens; ++t) {
    const uint64_t from = token + (t < live ? t : live - 1);
    block->codes[t] = x.codes + from * x.code_stride;
    TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) block->acc[t][i] = f32v{};
  }
}

// sums[g] = 3 * sums[g] + u . x of one plane in the groups [begin, end); the first plane of a part
// finds no sums yet. A function of its own, so that all registers are for its sums and tables.
template <uint32_t kTokens, uint32_t kCount>
static __attribute__((noinline)) void fold_plane(const Strip& s, uint32_t plane, uint32_t begin,
                                                 uint32_t end, const int8_t* const* codes,
                                                 i32v (*sums)[kTokens][kCount]) {
  uint64_t first = first_vector(s.walk, begin);
  const uint8_t* bytes = s.w->digits[plane] + digits_at(s.walk, s.row, first);
  const size_t second =
      digits_at(s.walk, register_row(s, 1), first) - digits_at(s.walk, s.row, first);
  const int8_t* x[kTokens];
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) x[t] = codes[t] + first * kVectorCols;
  size_t at = 0;
  for (uint32_t g = begin; g < end; ++g, ++sums) {
    i32v sum[kTokens][kCount] = {};
    if (plane % s.walk.part_planes > 0)
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
          TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) sum[t][i] = (*sums)[t][i] * 3;
    for (uint32_t vectors = vectors_of(s.walk, g), run; vectors > 0; vectors -= run) {
      run = vectors < kMaxVectors ? vectors : kMaxVectors;
      const size_t ahead = bytes_ahead(s, first);
      first += run;
      Sum partial[kTokens][kCount][kSums] = {};
      for (uint32_t v = 0; v < run; ++v, bytes += kVectorBytes, at += kVectorCols) {
        prefetch_vector(bytes, ahead);
        if (kCount * kRegRows > kTileRows) prefetch_vector(bytes + second, ahead);
        Digits d[kCount];
        TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) d[i] = decode(bytes + i * second);
        TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j)
            TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) {
          const i32v in = broadcast(x[t] + at + 4 * j);
          TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) partial[t][i][kSumOf[j]] =
              add_dot(partial[t][i][kSumOf[j]], operand(d[i], j), in);
        }
      }
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
          TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) sum[t][i] += total(partial[t][i]);
    }
    memcpy(sums, sum, sizeof(sum));
  }
}

// y = w x for the `live` tokens from `token`, kCount registers of rows at a time, straight from the
// planes.
template <uint32_t kTokens, uint32_t kCount>
static void multiply_planes(const TritView* w, const QuantizedActivations* x, uint64_t token,
                            uint64_t live, uint32_t tile_begin, uint32_t tile_end, float* y,
                            size_t y_stride) {
  constexpr uint32_t kRun = 8;  // groups: long enough a stretch of one plane, and of one's tables
  for (Strip s = first_strip(w, tile_begin, tile_end, kCount); s.row < s.row_end; s.row += s.rows) {
    Block<kTokens, kCount> block;
    begin_block(*x, token, live, &block);
    for (uint32_t begin = 0; begin < s.walk.groups; begin += kRun) {
      const uint32_t end = s.walk.groups - begin < kRun ? s.walk.groups : begin + kRun;
      i32v sums[kMaxPlanes][kRun][kTokens][kCount];
      for (uint32_t p = 0; p < w->planes; ++p)
        fold_plane<kTokens, kCount>(s, p, begin, end, block.codes, sums[p / s.walk.part_planes]);
      for (uint32_t g = begin; g < end; ++g)
        for (uint32_t part = 0; part < s.walk.parts; ++part) {
          prefetch_scales(s, part, g);
          TRIT_UNROLL for (uint32_t i = 0; i < kCount; ++i) {
            const f32v scale = load_scales(s, part, g, i);
            TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) {
              const size_t at = g * x->group_stride + token + (t < live ? t : live - 1);
              block.acc[t][i] = multiply_add(
                  to_f32(sums[part][g - begin][t][i] - correction(s.walk, x->sums[at])),
                  scale * x->scales[at], block.acc[t][i]);
            }
          }
        }
    }
    TRIT_UNROLL for (uint64_t t = 0; t < kTokens; ++t) if (t < live)
        copy_rows(s, y + (token + t) * y_stride, block.acc[t], true);
  }
}

static void trit_gemv(const TritView* w, const QuantizedActivations* x, uint32_t tile_begin,
                      uint32_t tile_end, float* y) {
  multiply_planes<1, kRegs>(w, x, 0, 1, tile_begin, tile_end, y, 0);
}

// A panel: some groups of a strip, unpacked to one code a weight, planes folded:
// [part][vector][digit][register]. It stays in the L2 cache for all tokens.
constexpr uint32_t kPanelVectors = 128, kPanelGroups = 16;
struct Panel {
  uint32_t begin, end;  // groups
  uint64_t first, vectors;
  u8v* codes;
  f32v scales[kPanelGroups][kMaxPlanes][kRegs];  // [group][part]
};

static void choose_panel(const PlaneWalk& walk, uint32_t begin, Panel* panel) {
  const uint32_t fit = kPanelVectors / walk.group_vectors;
  const uint32_t groups = fit < 1 ? 1 : fit < kPanelGroups ? fit : kPanelGroups;
  panel->begin = begin;
  panel->end = walk.groups - begin < groups ? walk.groups : begin + groups;
  panel->first = first_vector(walk, begin);
  const uint64_t past =
      panel->end < walk.groups ? first_vector(walk, panel->end) : walk.row_vectors;
  panel->vectors = past - panel->first;
}

static void unpack_panel(const Strip& s, Panel* panel) {
  for (uint32_t part = 0; part < s.walk.parts; ++part)
    for (uint32_t i = 0; i < kRegs; ++i) {
      const uint64_t at = digits_at(s.walk, register_row(s, i), panel->first);
      u8v* out = panel->codes + part * panel->vectors * (kTritsPerByte * kRegs) + i;
      for (uint64_t v = 0; v < panel->vectors; ++v, out += kTritsPerByte * kRegs) {
        const uint8_t* bytes = s.w->digits[part] + at + v * kVectorBytes;
        const Digits first = decode(bytes);
        u8v folded[kTritsPerByte];
        TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) folded[j] = digit(first, j);
        for (uint32_t p = part + 1; p < part + s.walk.part_planes; ++p) {
          bytes = s.w->digits[p] + at + v * kVectorBytes;
          const Digits d = decode(bytes);
          TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) folded[j] +=
              folded[j] + folded[j] + digit(d, j);
        }
        TRIT_UNROLL for (uint32_t j = 0; j < kTritsPerByte; ++j) out[j * kRegs] = folded[j];
      }
      for (uint32_t g = panel->begin; g < panel->end; ++g)
        panel->scales[g - panel->begin][part][i] = load_scales(s, part, g, i);
    }
}

// acc += scales * x_scales * (start + codes . x) for one part of a group, `steps` times 4 columns
// from `column`. A function of its own, so that all registers are for its sums.
template <uint32_t kTokens>
static __attribute__((noinline)) void add_group(const u8v* codes, size_t column, size_t steps,
                                                uint32_t offset, const int32_t* start,
                                                const float* x_scales, Block<kTokens, kRegs>* block,
                                                const f32v (&scales)[kRegs]) {
  i32v sums[kTokens][kRegs];
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
      TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) sums[t][i] = start[t] - i32v{};
  const int8_t* in[kTokens];
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) in[t] = block->codes[t];
  const size_t max_run = max_steps(offset);
  for (size_t left = steps; left > 0;) {
    const size_t count = left < max_run ? left : max_run;
    const size_t end = column + 4 * count;
    left -= count;
    Sum run[kTokens][kRegs];
    TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
        TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) run[t][i] = begin_run(sums[t][i]);
    for (; column < end; column += 4, codes += kRegs) {
      const u8v weights[kRegs] = {codes[0], codes[1]};
      TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t) {
        const i32v four = broadcast(in[t] + column);
        TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) run[t][i] =
            add_dot(run[t][i], weights[i], four);
      }
    }
    TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
        TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) sums[t][i] =
            end_run(sums[t][i], run[t][i]);
  }
  const f32v scale[kRegs] = {scales[0],
                             scales[1]};  // once: they might be in acc, for all GCC knows
  TRIT_UNROLL for (uint32_t t = 0; t < kTokens; ++t)
      TRIT_UNROLL for (uint32_t i = 0; i < kRegs; ++i) block->acc[t][i] =
      multiply_add(to_f32(sums[t][i]), scale[i] * x_scales[t], block->acc[t][i]);
}

// The planes of a group in the next strip: fetched while this one is multiplied.
TRIT_INLINE void prefetch_next(const Strip& s, uint32_t g) {
  for (uint64_t row = s.row + s.rows; row < s.row + 2 * s.rows; row += kTileRows) {
    const uint64_t at = digits_at(s.walk, row, first_vector(s.walk, g));
    for (uint32_t p = 0; p < s.w->planes; ++p)
      for (uint32_t v = 0; v < vectors_of(s.walk, g); ++v)
        prefetch(s.w->digits[p] + at + v * kVectorBytes);
  }
}

// y += panel times the `live` tokens from `token`.
template <uint32_t kTokens>
static void multiply_panel(const Strip& s, const Panel& panel, const QuantizedActivations* x,
                           uint64_t token, uint64_t live, float* y, size_t y_stride) {
  Block<kTokens, kRegs> block;
  begin_block(*x, token, live, &block);
  // Where the results go: nobody waits for them then.
  for (uint64_t t = 0; t < kTokens && t < live; ++t)
    for (uint32_t i = 0; i < kRegs; ++i)
      __builtin_prefetch(y + (token + t) * y_stride + register_row(s, i), 1);
  for (uint64_t t = 0; panel.begin > 0 && t < kTokens && t < live; ++t)
    copy_rows(s, y + (token + t) * y_stride, block.acc[t], false);
  // Sums begin at minus what codes . x will have over digits . x.
  int32_t start[kPanelGroups][kTokens];
  const size_t first = panel.begin * x->group_stride + token;
  for (uint32_t g = 0; g < panel.end - panel.begin; ++g)
    for (uint32_t t = 0; t < kTokens; ++t)
      start[g][t] = correction(s.walk, -x->sums[first + g * x->group_stride + t]);
  const float* x_scales = x->scales + first;
  const u8v* codes = panel.codes;
  size_t column = panel.first * kVectorCols;
  for (uint32_t g = panel.begin; g < panel.end; ++g, x_scales += x->group_stride) {
    const size_t steps = size_t{vectors_of(s.walk, g)} * kTritsPerByte;
    for (uint32_t part = 0; part < s.walk.parts; ++part) {
      add_group<kTokens>(codes + part * panel.vectors * (kTritsPerByte * kRegs), column, steps,
                         s.walk.offset, start[g - panel.begin], x_scales, &block,
                         panel.scales[g - panel.begin][part]);
    }
    column += 4 * steps;
    codes += steps * kRegs;
  }
  for (uint64_t t = 0; t < kTokens && t < live; ++t)
    copy_rows(s, y + (token + t) * y_stride, block.acc[t], true);
}

static void trit_gemm(const TritView* w, const QuantizedActivations* x, uint32_t n_tokens,
                      uint32_t tile_begin, uint32_t tile_end, float* y, size_t y_stride,
                      void* scratch) {
  if (n_tokens <= 2 || (w->planes == 1 && n_tokens <= kFewTokens)) {
    constexpr uint32_t kCount = kRegRows == kTileRows ? 2 : 1;  // two tokens' sums fill as many
    for (uint32_t t = 0; t < n_tokens; t += 2)
      multiply_planes<2, kCount>(w, x, t, n_tokens - t, tile_begin, tile_end, y, y_stride);
    return;
  }
  static_assert(kTokenBlock % kTokensAtOnce == 0);
  constexpr uint32_t kHalf = kTokensAtOnce / 2;
  const uint32_t blocks = (n_tokens + kTokensAtOnce - 1) / kTokensAtOnce;
  Panel panel;
  panel.codes = static_cast<u8v*>(scratch);
  for (Strip s = first_strip(w, tile_begin, tile_end, kRegs); s.row < s.row_end; s.row += s.rows)
    for (uint32_t begin = 0; begin < s.walk.groups; begin = panel.end) {
      choose_panel(s.walk, begin, &panel);
      unpack_panel(s, &panel);
      for (uint32_t block = 0; block < blocks; ++block) {
        for (uint32_t g = panel.begin + block; g < panel.end; g += blocks) prefetch_next(s, g);
        const uint64_t t = block * kTokensAtOnce, left = n_tokens - t;
        if (left > kHalf)
          multiply_panel<kTokensAtOnce>(s, panel, x, t, left, y, y_stride);
        else
          multiply_panel<kHalf>(s, panel, x, t, left, y, y_stride);
      }
    }
}

static void install_products(KernelTable* table) {
  table->trit_gemv = trit_gemv;
  table->trit_gemm = trit_gemm;
}
