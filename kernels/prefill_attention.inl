// Attention of several tokens of a prompt at once, included by f32_ops.inl. The queries of all
// tokens and heads that share a kv head go over blocks of kPositions, which become floats once.

struct PromptBlock {
  uint32_t head_dim, padded;  // to whole Lanes: values, of narrow heads the last ones zeros
  uint32_t n_queries, heads;  // query i sees the first n_positions + i / heads positions
  uint32_t n_positions;
  size_t stride;       // of scores, from query to query
  float *query, *out;  // [n_queries][head_dim], [n_queries][padded]
  float* floats;       // keys as blocks, or values: [kPositions][padded]
  float* scores;

  uint32_t visible(uint32_t i) const { return n_positions + i / heads; }
};

// Keys of the n positions from `begin`, a multiple of kPositions.
template <typename T>
void expand_keys(const void* keys, uint32_t begin, uint32_t n, uint32_t head_dim, float* out) {
  const size_t block_bytes = key_block_bytes<T>(head_dim);
  const uint8_t* block = static_cast<const uint8_t*>(keys) + begin / kKeyBlock * block_bytes;
  for (uint32_t i = 0; i < n; i += kKeyBlock, block += block_bytes)
    for (uint32_t d = 0; d < head_dim; ++d, out += kKeyBlock)
      store(out, load_keys(reinterpret_cast<const T*>(block), d));
}

template <typename T>
TRIT_INLINE void expand(const T* row, uint32_t n, float* out) {
  for (uint32_t i = 0; i < n; i += kLanes) store(out + i, load_at(row, i, n));
}

// Positions [begin, begin + n) of values as floats, each filled up to `padded` with zeros.
void expand_values(const void* rows, CacheType type, uint32_t begin, uint32_t n, uint32_t head_dim,
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

// Scores of all queries that see position `begin`, with the n positions from there.
void score_block(const PromptBlock& b, uint32_t begin, uint32_t n) {
  uint32_t first = 0;
  while (b.visible(first) <= begin) ++first;
  score_keys<float>({b.query + static_cast<size_t>(first) * b.head_dim, b.n_queries - first,
                     b.head_dim, b.scores + first * b.stride + begin, b.stride, 0},
                    reinterpret_cast<const uint8_t*>(b.floats), n);
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
    float* out = b.out + static_cast<size_t>(q) * b.padded;
    weigh_values<float, kQueries>({b.floats, b.padded, common, b.stride, 0}, count, scores, out);
    for (uint32_t i = 0; i < count; ++i)
      if (const uint32_t more = seen(q + i) - common)
        weigh_turn<float, 1>(
            {b.floats + static_cast<size_t>(common) * b.padded, b.padded, more, b.stride, 0},
            scores + i * b.stride + common, out + i * b.padded);
  }
}

void prefill_attention(const float* query, size_t token_stride, uint32_t n_tokens,
                       uint32_t n_queries, const HeadCache* cache, uint32_t head_dim,
                       uint32_t n_positions, float scale, float* scratch, float* out) {
  const uint32_t most = n_positions + n_tokens - 1;
  PromptBlock b;
  b.head_dim = head_dim;
  b.padded = static_cast<uint32_t>(ceil_div(head_dim, kLanes)) * kLanes;
  b.n_queries = n_tokens * n_queries;
  b.heads = n_queries;
  b.n_positions = n_positions;
  b.stride = padded_positions(most);
  b.out = scratch;
  b.floats = b.out + static_cast<size_t>(b.n_queries) * b.padded;
  b.scores = b.floats + static_cast<size_t>(kPositions) * b.padded;
  b.query = b.scores + b.n_queries * b.stride;
  const auto query_at = [&](uint32_t i) {
    return i / n_queries * token_stride + static_cast<size_t>(i % n_queries) * head_dim;
  };
  for (uint32_t i = 0; i < b.n_queries; ++i) {
    float* const to = b.query + static_cast<size_t>(i) * head_dim;
    memcpy(to, query + query_at(i), head_dim * sizeof(float));
    multiply(to, scale, head_dim);
  }
  const auto each_block = [&](const auto& use) {
    for (uint32_t begin = 0; begin < most; begin += kPositions)
      use(begin, most - begin < kPositions ? most - begin : kPositions);
  };
  each_block([&](uint32_t begin, uint32_t n) {
    const auto expand = cache->key_type == CacheType::kQ8    ? expand_keys<Q8>
                        : cache->key_type == CacheType::kF16 ? expand_keys<F16>
                                                             : expand_keys<float>;
    expand(cache->keys, begin, n, head_dim, b.floats);
    score_block(b, begin, n);
  });
  for (uint32_t i = 0; i < b.n_queries; ++i) softmax(b.scores + i * b.stride, b.visible(i));
  memset(b.out, 0, static_cast<size_t>(b.n_queries) * b.padded * sizeof(float));
  each_block([&](uint32_t begin, uint32_t n) {
    expand_values(cache->values, cache->value_type, begin, n, head_dim, b.padded, b.floats);
    weigh_block(b, begin, n);
  });
  for (uint32_t i = 0; i < b.n_queries; ++i)
    memcpy(out + query_at(i), b.out + static_cast<size_t>(i) * b.padded, head_dim * sizeof(float));
}
