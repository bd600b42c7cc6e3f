// Attention of the query heads that share one kv head, included by f32_ops.inl. Keys and values are
// read from memory once: the heads take turns on a block of positions that stays in the L1 cache,
// up to four at a time; the first turn fetches what comes next.
#include "kernels/q8_rows.inl"

constexpr uint32_t kPositions = 64;
constexpr size_t kAheadBytes = 4096;

TRIT_INLINE void prefetch_ahead(const void* row, size_t bytes) {
  const char* p = static_cast<const char*>(row) + kAheadBytes;
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
}

// What one turn works on: kQueries queries or rows of scores, n positions.
template <typename T>
struct Turn {
  const T* rows;  // keys or values of the first position
  uint32_t head_dim, n;
  size_t stride;  // of scores, from query to query
  bool first;
};

// scores[q * stride + i] = query q . key i.
template <typename T, uint32_t kQueries>
__attribute__((noinline)) void score_turn(const Turn<T>& turn, const float* query, float* scores) {
  constexpr uint32_t kKeys = kPartLanes / kQueries;  // whose scores fill a register
  const uint32_t head_dim = turn.head_dim;
  const T* keys = turn.rows;
  uint32_t i = 0;
  for (; i + kKeys <= turn.n; i += kKeys, keys += static_cast<size_t>(kKeys) * head_dim) {
    if (turn.first) prefetch_ahead(keys, sizeof(T) * kKeys * head_dim);
    dot_block<T, kKeys, kQueries>(keys, head_dim, query, head_dim, head_dim, scores + i,
                                  turn.stride);
  }
  for (; i < turn.n; ++i, keys += head_dim)
    dot_block<T, 1, kQueries>(keys, head_dim, query, head_dim, head_dim, scores + i, turn.stride);
}

// out[q][d] += sum over positions, in order, of scores[q * stride + position] *
// values[position][d], for the columns d of kBlock Lanes, or of the tail.
template <typename T, uint32_t kQueries, uint32_t kBlock, bool kTail>
__attribute__((noinline)) void weigh_columns(const Turn<T>& turn, const float* scores,
                                             uint32_t begin, float* out) {
  const uint32_t head_dim = turn.head_dim;
  const T* values = turn.rows;
  // Where a block ends: for all but the tail known to be whole.
  const uint32_t end = kTail ? head_dim : begin + kBlock * kLanes;
  Lanes acc[kQueries][kBlock];
  TRIT_UNROLL for (uint32_t q = 0; q < kQueries; ++q)
      TRIT_UNROLL for (uint32_t b = 0; b < kBlock; ++b) acc[q][b] =
          load_at(out + q * head_dim, begin + b * kLanes, end);
  for (uint32_t i = 0; i < turn.n; ++i, values += head_dim) {
    if (turn.first && begin == 0) prefetch_ahead(values, sizeof(T) * head_dim);
    Lanes value[kBlock];
    TRIT_UNROLL for (uint32_t b = 0; b < kBlock; ++b) value[b] =
        load_at(values, begin + b * kLanes, end);
    TRIT_UNROLL for (uint32_t q = 0; q < kQueries; ++q) {
      const Lanes score = splat_lanes(scores[q * turn.stride + i]);
      TRIT_UNROLL for (uint32_t b = 0; b < kBlock; ++b) add_products(&acc[q][b], value[b], score);
    }
  }
  TRIT_UNROLL for (uint32_t q = 0; q < kQueries; ++q)
      TRIT_UNROLL for (uint32_t b = 0; b < kBlock; ++b)
          store_at(out + q * head_dim, begin + b * kLanes, end, acc[q][b]);
}

template <typename T, uint32_t kQueries>
void weigh_turn(const Turn<T>& turn, const float* scores, float* out) {
  constexpr uint32_t kBlock = kParts == 1 ? 4 : 4 / kQueries;
  uint32_t d = 0;
  for (; d + kBlock * kLanes <= turn.head_dim; d += kBlock * kLanes)
    weigh_columns<T, kQueries, kBlock, false>(turn, scores, d, out);
  for (; d < turn.head_dim; d += kLanes)
    for (uint32_t q = 0; q < kQueries; ++q)
      weigh_columns<T, 1, 1, true>(turn, scores + q * turn.stride, d, out + q * turn.head_dim);
}

// All turns of one block of positions: kQueries at a time, what is left by fewer.
template <typename T, uint32_t kQueries>
void take_turns(Turn<T> turn, const float* query, uint32_t n_queries, float* scores, float* out) {
  for (; n_queries >= kQueries; n_queries -= kQueries, turn.first = false) {
    if (query) {
      score_turn<T, kQueries>(turn, query, scores);
      query += kQueries * turn.head_dim;
    } else {
      weigh_turn<T, kQueries>(turn, scores, out);
      out += kQueries * turn.head_dim;
    }
    scores += kQueries * turn.stride;
  }
  if constexpr (kQueries > 1) take_turns<T, kQueries / 2>(turn, query, n_queries, scores, out);
}

// Scores of keys where there is a query, else out += scores of values.
template <typename T>
void walk_cache(const void* rows, uint32_t head_dim, uint32_t n_positions, const float* query,
                uint32_t n_queries, float* scores, float* out) {
  for (uint32_t i = 0; i < n_positions; i += kPositions) {
    const uint32_t n = n_positions - i < kPositions ? n_positions - i : kPositions;
    const T* block = static_cast<const T*>(rows) + static_cast<size_t>(i) * head_dim;
    take_turns<T, 4>({block, head_dim, n, n_positions, true}, query, n_queries, scores + i, out);
  }
}

// The same for q8 rows: a few positions at a time become floats, for all heads.
void walk_q8(const void* rows, uint32_t head_dim, uint32_t n_positions, const float* query,
             uint32_t n_queries, float* scores, float* out) {
  alignas(64) float block[kQ8MaxRow];
  const uint8_t* row = static_cast<const uint8_t*>(rows);
  const size_t row_bytes = cache_bytes(CacheType::kQ8, head_dim);
  for (uint32_t i = 0, n; i < n_positions; i += n) {
    n = kQ8MaxRow / head_dim;
    n = n_positions - i < n ? n_positions - i : n;
    for (uint32_t position = 0; position < n; ++position, row += row_bytes) {
      prefetch_ahead(row, row_bytes);
      expand_q8(row, head_dim, block + position * head_dim);
    }
    take_turns<float, 4>({block, head_dim, n, n_positions, false}, query, n_queries, scores + i,
                         out);
  }
}

typedef void (*WalkCache)(const void* rows, uint32_t head_dim, uint32_t n_positions,
                          const float* query, uint32_t n_queries, float* scores, float* out);
WalkCache walk_of(CacheType type) {
  if (type == CacheType::kQ8) return walk_q8;
  return type == CacheType::kF16 ? walk_cache<F16> : walk_cache<float>;
}

void attention(const float* query, uint32_t n_queries, const HeadCache* cache, uint32_t head_dim,
               uint32_t n_positions, float scale, float* scores, float* out) {
  const uint32_t floats = n_queries * head_dim;
  memcpy(out, query, floats * sizeof(float));
  multiply(out, scale, floats);
  walk_of(cache->key_type)(cache->keys, head_dim, n_positions, out, n_queries, scores, nullptr);
  for (uint32_t q = 0; q < n_queries; ++q)
    softmax(scores + static_cast<size_t>(q) * n_positions, n_positions);
  memset(out, 0, floats * sizeof(float));
  walk_of(cache->value_type)(cache->values, head_dim, n_positions, nullptr, n_queries, scores, out);
}
