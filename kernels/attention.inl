// Attention of the query heads that share one kv head, included by f32_ops.inl. Keys and values are
// read from memory once: the heads take turns on a block of positions that stays in the L1 cache,
// up to four at a time; the first turn fetches what comes later.
#include "kernels/q8_rows.inl"

constexpr uint32_t kPositions = kKeyRun, kKeyBlocks = kPositions / kKeyBlock;
static_assert(kKeyBlock == kLanes, "a lane is a position");

struct Q8 {
  int8_t code;  // of a kQ8 block
};
TRIT_INLINE f32v load_part(const Q8* p) {
  return load_i8(&p->code);
}

// One dimension of a block of keys.
template <typename T>
TRIT_INLINE Lanes load_keys(const T* block, uint32_t d) {
  return load(block + d * kKeyBlock);
}
// code * scale is exact: 8 bits times 11.
TRIT_INLINE Lanes load_keys(const Q8* block, uint32_t d) {
  const Q8* group = block + d / kQ8Block * (kKeyBlock * (kQ8Block + 2));
  const Lanes scales = load(reinterpret_cast<const F16*>(group));
  Lanes x = load(group + kKeyBlock * (d % kQ8Block + 2));
  TRIT_UNROLL for (uint32_t i = 0; i < kParts; ++i) x.part[i] *= scales.part[i];
  return x;
}
template <typename T>
size_t key_block_bytes(uint32_t head_dim) {
  const CacheType type = sizeof(T) == 1   ? CacheType::kQ8
                         : sizeof(T) == 2 ? CacheType::kF16
                                          : CacheType::kF32;
  return kKeyBlock * cache_bytes(type, head_dim);
}

// How far ahead to fetch in a run of keys or values; in a short run less, or most of it would lie
// beyond its end.
TRIT_INLINE size_t ahead_in(size_t run_bytes) {
  constexpr size_t kMost = 24 << 10;
  return run_bytes / 4 < kMost ? run_bytes / 4 : kMost;
}

// Queries whose scores of some keys are wanted: [count][head_dim], and [count][stride].
struct Queries {
  const float* query;
  uint32_t count, head_dim;
  float* scores;
  size_t stride, ahead;  // ahead: bytes; 0: nothing is fetched
};

// scores[q][i] = query q . key i, for kQueries of them and the first n keys of kBlocks blocks.
template <typename T, uint32_t kQueries, uint32_t kBlocks>
__attribute__((noinline)) void score_blocks(const Queries& to, const uint8_t* keys, uint32_t n) {
  const size_t block_bytes = key_block_bytes<T>(to.head_dim);
  Lanes sums[kQueries][kBlocks];
  TRIT_UNROLL for (uint32_t q = 0; q < kQueries; ++q)
      TRIT_UNROLL for (uint32_t b = 0; b < kBlocks; ++b) sums[q][b] = splat_lanes(0);
  for (uint32_t d = 0; d < to.head_dim; ++d) {
    Lanes key[kBlocks];
    TRIT_UNROLL for (uint32_t b = 0; b < kBlocks; ++b) {
      key[b] = load_keys(reinterpret_cast<const T*>(keys + b * block_bytes), d);
      if (to.ahead) prefetch(keys + b * block_bytes + d * kKeyBlock * sizeof(T) + to.ahead);
    }
    TRIT_UNROLL for (uint32_t q = 0; q < kQueries; ++q) {
      const Lanes factor = splat_lanes(to.query[q * to.head_dim + d]);
      TRIT_UNROLL for (uint32_t b = 0; b < kBlocks; ++b) add_products(&sums[q][b], key[b], factor);
    }
  }
  float whole[kQueries][kBlocks * kKeyBlock];
  TRIT_UNROLL for (uint32_t q = 0; q < kQueries; ++q)
      TRIT_UNROLL for (uint32_t b = 0; b < kBlocks; ++b)
          store(whole[q] + b * kKeyBlock, sums[q][b]);
  n = n < kBlocks * kKeyBlock ? n : kBlocks * kKeyBlock;
  for (uint32_t q = 0; q < kQueries; ++q)
    memcpy(to.scores + q * to.stride, whole[q], n * sizeof(float));
}

// Keys [0, n), at most kPositions: for kQueries at a time, what is left by fewer.
template <typename T, uint32_t kQueries = kQueriesAtOnce>
void score_keys(Queries to, const uint8_t* keys, uint32_t n) {
  constexpr uint32_t kBlocks = kParts == 1 ? 4 : 4 / kQueries;
  for (; to.count >= kQueries; to.count -= kQueries, to.ahead = 0) {
    Queries some = to;
    const uint8_t* blocks = keys;
    for (uint32_t i = 0; i < n; i += kBlocks * kKeyBlock, some.scores += kBlocks * kKeyBlock) {
      score_blocks<T, kQueries, kBlocks>(some, blocks, n - i);
      blocks += kBlocks * key_block_bytes<T>(to.head_dim);
    }
    to.query += kQueries * to.head_dim;
    to.scores += kQueries * to.stride;
  }
  if constexpr (kQueries > 1) score_keys<T, kQueries / 2>(to, keys, n);
}

template <typename T>
void score_cache(Queries to, const void* keys, uint32_t n_positions) {
  const uint8_t* at = static_cast<const uint8_t*>(keys);
  const size_t block_bytes = key_block_bytes<T>(to.head_dim);
  to.ahead = ahead_in(n_positions / kKeyBlock * block_bytes);
  for (uint32_t i = 0; i < n_positions; i += kPositions, to.scores += kPositions) {
    score_keys<T>(to, at, n_positions - i < kPositions ? n_positions - i : kPositions);
    at += kKeyBlocks * block_bytes;
  }
}

TRIT_INLINE void prefetch_row(const void* row, size_t bytes, size_t ahead) {
  const char* p = static_cast<const char*>(row) + ahead;
  for (size_t i = 0; i < bytes; i += 64) prefetch(p + i);
}

// The values that one turn works on: n rows, and kQueries rows of scores.
template <typename T>
struct Turn {
  const T* rows;  // values of the first position
  uint32_t head_dim, n;
  size_t stride, ahead;  // stride: of scores, from query to query
};

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
    if (turn.ahead && begin == 0) prefetch_row(values, sizeof(T) * head_dim, turn.ahead);
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
template <typename T, uint32_t kQueries = kQueriesAtOnce>
void weigh_values(Turn<T> turn, uint32_t n_queries, const float* scores, float* out) {
  for (; n_queries >= kQueries; n_queries -= kQueries, turn.ahead = 0) {
    weigh_turn<T, kQueries>(turn, scores, out);
    out += kQueries * turn.head_dim;
    scores += kQueries * turn.stride;
  }
  if constexpr (kQueries > 1) weigh_values<T, kQueries / 2>(turn, n_queries, scores, out);
}

// out[q] += scores[q] of all values.
template <typename T>
void weigh_cache(const void* values, uint32_t head_dim, uint32_t n_positions, uint32_t n_queries,
                 const float* scores, float* out) {
  const size_t ahead = ahead_in(static_cast<size_t>(n_positions) * head_dim * sizeof(T));
  for (uint32_t i = 0; i < n_positions; i += kPositions) {
    const uint32_t n = n_positions - i < kPositions ? n_positions - i : kPositions;
    const T* block = static_cast<const T*>(values) + static_cast<size_t>(i) * head_dim;
    weigh_values<T>({block, head_dim, n, n_positions, ahead}, n_queries, scores + i, out);
  }
}

// The same for q8 rows: a few positions at a time become floats, for all heads.
void weigh_q8(const void* values, uint32_t head_dim, uint32_t n_positions, uint32_t n_queries,
              const float* scores, float* out) {
  alignas(64) float block[kQ8MaxRow];
  const uint8_t* row = static_cast<const uint8_t*>(values);
  const size_t row_bytes = cache_bytes(CacheType::kQ8, head_dim);
  const size_t ahead = ahead_in(n_positions * row_bytes);
  for (uint32_t i = 0, n; i < n_positions; i += n) {
    n = kQ8MaxRow / head_dim;
    n = n_positions - i < n ? n_positions - i : n;
    for (uint32_t position = 0; position < n; ++position, row += row_bytes) {
      prefetch_row(row, row_bytes, ahead);
      expand_q8(row, head_dim, block + position * head_dim);
    }
    weigh_values<float>({block, head_dim, n, n_positions, 0}, n_queries, scores + i, out);
  }
}

void attention(const float* query, uint32_t n_queries, const HeadCache* cache, uint32_t head_dim,
               uint32_t n_positions, float scale, float* scores, float* out) {
  const uint32_t floats = n_queries * head_dim;
  memcpy(out, query, floats * sizeof(float));
  multiply(out, scale, floats);
  const Queries to = {out, n_queries, head_dim, scores, n_positions, 0};
  const auto score = cache->key_type == CacheType::kQ8    ? score_cache<Q8>
                     : cache->key_type == CacheType::kF16 ? score_cache<F16>
                                                          : score_cache<float>;
  score(to, cache->keys, n_positions);
  for (uint32_t q = 0; q < n_queries; ++q)
    softmax(scores + static_cast<size_t>(q) * n_positions, n_positions);
  memset(out, 0, floats * sizeof(float));
  const auto weigh = cache->value_type == CacheType::kQ8    ? weigh_q8
                     : cache->value_type == CacheType::kF16 ? weigh_cache<F16>
                                                            : weigh_cache<float>;
  weigh(cache->values, head_dim, n_positions, n_queries, scores, out);
}
