// The rows that a product of one x86 level works on at once, included inside its region and
// namespace after f32_ops.inl. Registers are 32 or 64 bytes: a strip is the rows of two of them
// (one tile, or two), so every activation that is broadcast is used twice.

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
