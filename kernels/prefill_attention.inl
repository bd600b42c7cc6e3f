// Attention of several tokens of a prompt at once, included by f32_ops.inl. The queries of all
// tokens and heads that share a kv head go over blocks of kPositions. For the scores the keys of a
// block are turned until a lane is a position: then no lanes are left to add, and each position's
// dot product is still summed in the order of `dot`, one of its 16 lanes after the other.

constexpr uint32_t kTurnedKeys = kParts == 2 ? 1 : 2;  // registers of positions at a time,
constexpr uint32_t kTurnedQueries = 2;                 // with the sums of so many queries

struct PromptBlock {
  uint32_t head_dim, n_queries;  // head_dim: whole Lanes, the last of narrow heads zeros
  uint32_t heads, n_positions;   // query i sees the first n_positions + i / heads positions
  size_t stride;                 // of scores, from query to query
  float *query, *out;            // [n_queries][head_dim]
  float *rows, *turned;          // [kPositions][head_dim]; [register of positions][head_dim][lane]
  float* scores;

  uint32_t visible(uint32_t i) const { return n_positions + i / heads; }
};

template <typename T>
TRIT_INLINE void expand(const T* row, uint32_t n, float* out) {
  for (uint32_t i = 0; i < n; i += kLanes) store(out + i, load_at(row, i, n));
}

// Positions [begin, begin + n) of keys or values as floats, each filled up to `padded` with zeros.
void expand_rows(const void* rows, CacheType type, uint32_t begin, uint32_t n, uint32_t head_dim,
                 uint32_t padded, float* out) {
  const size_t row_bytes = cache_bytes(type, head_dim);
  const uint8_t* row = static_cast<const uint8_t*>(rows) + begin * row_bytes;
  for (; n > 0; --n, row += row_bytes, out += padded) {
    if (type == CacheType::kQ8) {
      expand_q8(row, head_dim, out);
      memset(out + head_dim, 0, (padded - head_dim) * sizeof(float));
    } else if (type == CacheType::kF16) {
      expand(reinterpret_cast<const F16*>(row), head_dim, out);
    } else {
      expand(reinterpret_cast<const float*>(row), head_dim, out);
    }
  }
}

// Register i gets lane i of all; those past n positions are as if zero.
void turn_keys(const PromptBlock& b, uint32_t n) {
  for (uint32_t begin = 0; begin < n; begin += kPartLanes)
    for (uint32_t d = 0; d < b.head_dim; d += kPartLanes) {
      f32v x[kPartLanes];
      TRIT_UNROLL for (uint32_t i = 0; i < kPartLanes; ++i) x[i] =
          begin + i < n ? load_part(b.rows + (begin + i) * b.head_dim + d) : f32v{};
      turn_lanes(x);
      memcpy(b.turned + begin * b.head_dim + d * kPartLanes, x, sizeof(x));
    }
}

struct TurnedSums {
  f32v of[kTurnedQueries][kTurnedKeys];
};
// What lane `lane` of `dot` holds after lanes kStep apart were added: the last step is kStep 1.
template <uint32_t kStep>
TRIT_INLINE TurnedSums sum_turned(const float* turned, uint32_t head_dim, const float* const* query,
                                  uint32_t lane) {
  TurnedSums sums = {};
  if constexpr (kStep == kLanes) {
    for (uint32_t d = lane; d < head_dim; d += kLanes) {
      f32v keys[kTurnedKeys];
      TRIT_UNROLL for (uint32_t k = 0; k < kTurnedKeys; ++k) keys[k] =
          load_part(turned + (k * head_dim + d) * kPartLanes);
      TRIT_UNROLL for (uint32_t q = 0; q < kTurnedQueries; ++q)
          TRIT_UNROLL for (uint32_t k = 0; k < kTurnedKeys; ++k)
              sums.of[q][k] = multiply_add(keys[k], splat(query[q][d]), sums.of[q][k]);
    }
  } else {
    sums = sum_turned<2 * kStep>(turned, head_dim, query, lane);
    const TurnedSums other = sum_turned<2 * kStep>(turned, head_dim, query, lane + kStep);
    TRIT_UNROLL for (uint32_t q = 0; q < kTurnedQueries; ++q)
        TRIT_UNROLL for (uint32_t k = 0; k < kTurnedKeys; ++k) sums.of[q][k] += other.of[q][k];
  }
  return sums;
}

// Scores of all queries that see position `begin`, with the n positions from there.
void score_block(const PromptBlock& b, uint32_t begin, uint32_t n) {
  for (uint32_t q = 0; q < b.n_queries; q += kTurnedQueries) {
    const uint32_t last =
        b.n_queries - 1 - q < kTurnedQueries - 1 ? b.n_queries - 1 : q + kTurnedQueries - 1;
    if (b.visible(last) <= begin) continue;
    const float* query[kTurnedQueries];
    for (uint32_t i = 0; i < kTurnedQueries; ++i)
      query[i] = b.query + static_cast<size_t>(q + i < last ? q + i : last) * b.head_dim;
    for (uint32_t k = 0; k < n; k += kTurnedKeys * kPartLanes) {
      const TurnedSums sums =
          sum_turned<1>(b.turned + static_cast<size_t>(k) * b.head_dim, b.head_dim, query, 0);
      for (uint32_t i = 0; i < kTurnedQueries && q + i < b.n_queries; ++i)
        memcpy(b.scores + (q + i) * b.stride + begin + k, sums.of[i], sizeof(sums.of[i]));
    }
  }
}

// out += scores of the n positions from `begin` times their values: by four queries as far as the
// first of them sees, then one by one.
void weigh_block(const PromptBlock& b, uint32_t begin, uint32_t n) {
  constexpr uint32_t kQueries = 4;
  for (uint32_t q = 0; q < b.n_queries; q += kQueries) {
    const uint32_t count = b.n_queries - q < kQueries ? b.n_queries - q : kQueries;
    const auto seen = [&](uint32_t i) {
      const uint32_t visible = b.visible(i) < begin ? 0 : b.visible(i) - begin;
      return visible < n ? visible : n;
    };
    const uint32_t common = seen(q);
    float* scores = b.scores + q * b.stride + begin;
    float* out = b.out + static_cast<size_t>(q) * b.head_dim;
    take_turns<float, kQueries>({b.rows, b.head_dim, common, b.stride, false}, nullptr, count,
                                scores, out);
    for (uint32_t i = 0; i < count; ++i)
      if (const uint32_t more = seen(q + i) - common)
        weigh_turn<float, 1>(
            {b.rows + static_cast<size_t>(common) * b.head_dim, b.head_dim, more, b.stride, false},
            scores + i * b.stride + common, out + i * b.head_dim);
  }
}

void prefill_attention(const float* query, size_t token_stride, uint32_t n_tokens,
                       uint32_t n_queries, const HeadCache* cache, uint32_t head_dim,
                       uint32_t n_positions, float scale, float* scratch, float* out) {
  const uint32_t most = n_positions + n_tokens - 1;
  const uint32_t padded = static_cast<uint32_t>(ceil_div(head_dim, kLanes)) * kLanes;
  PromptBlock b = {
      padded, n_tokens * n_queries, n_queries, n_positions, 0, scratch, nullptr, nullptr, nullptr,
      nullptr};
  b.stride = ceil_div(most, kPositions) * kPositions;
  const size_t query_floats = static_cast<size_t>(b.n_queries) * padded;
  b.out = b.query + query_floats;
  b.rows = b.out + query_floats;
  b.turned = b.rows + static_cast<size_t>(kPositions) * padded;
  b.scores = b.turned + static_cast<size_t>(kPositions) * padded;
  memset(b.query, 0, 2 * query_floats * sizeof(float));
  const auto query_at = [&](uint32_t i) {
    return i / n_queries * token_stride + static_cast<size_t>(i % n_queries) * head_dim;
  };
  for (uint32_t i = 0; i < b.n_queries; ++i) {
    float* const to = b.query + static_cast<size_t>(i) * padded;
    memcpy(to, query + query_at(i), head_dim * sizeof(float));
    multiply(to, scale, head_dim);
  }
  for (uint32_t begin = 0; begin < most; begin += kPositions) {
    const uint32_t n = most - begin < kPositions ? most - begin : kPositions;
    expand_rows(cache->keys, cache->key_type, begin, n, head_dim, padded, b.rows);
    turn_keys(b, n);
    score_block(b, begin, n);
  }
  for (uint32_t i = 0; i < b.n_queries; ++i) softmax(b.scores + i * b.stride, b.visible(i));
  for (uint32_t begin = 0; begin < most; begin += kPositions) {
    const uint32_t n = most - begin < kPositions ? most - begin : kPositions;
    expand_rows(cache->values, cache->value_type, begin, n, head_dim, padded, b.rows);
    weigh_block(b, begin, n);
  }
  for (uint32_t i = 0; i < b.n_queries; ++i)
    memcpy(out + query_at(i), b.out + static_cast<size_t>(i) * padded, head_dim * sizeof(float));
}
