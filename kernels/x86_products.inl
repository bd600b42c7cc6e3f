// trit_gemv and trit_gemm for one x86 level, included inside its region and namespace, after the
// sums of planes straight from their bytes, add_part() of x86_plane_sums.inl or
// x86_folded_sums.inl. The level supplies, besides,
//   Digits decode(vector)        a register of bytes, taken apart
//   u8v digit(digits, j)         codes u_j, one in each byte
//   Sum add_dot(sum, codes, x)   sum + codes . x in each lane
//   begin_run, end_run, max_steps(offset)
//                                a run of add_dot of folded codes on top of an int32 sum, in a Sum
//                                that begins as the first says; how many it has room for
//   kTokensAtOnce                tokens whose sums fill the registers in trit_gemm
//   kFewTokens                   tokens for which decoding anew beats unpacking one plane

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
      for (uint32_t part = 0; part < s.walk.parts; ++part)
        add_part<kTokens, kCount>(s, part, begin, end, block.codes, sums[part]);
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
