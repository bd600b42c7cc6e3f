// Attention and the cache that it reads: scalar against plain double arithmetic, every level
// against scalar bit for bit, keys and values against their layout worked out naively.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/kernels/guarded_buffer.h"
#include "tests/kernels/kernel_levels.h"

namespace trit {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

void naive_q8_row(const uint8_t* row, uint32_t n, float* out) {
  for (uint32_t i = 0; i < n; ++i) {
    const uint8_t* block = row + i / 32 * 34;
    const uint16_t scale = static_cast<uint16_t>(block[0] | block[1] << 8);
    out[i] = static_cast<int8_t>(block[2 + i % 32]) * f16_to_f32(scale);
  }
}

TEST_CASE("a q8 row is as near to its values as its scales allow, and the same on every level") {
  Random random(29);
  for (uint32_t n : {1u, 2u, 31u, 32u, 33u, 64u, 80u, 100u, 128u}) {
    CHECK(cache_bytes(CacheType::kQ8, n) == n + (n + 31) / 32 * 2);
    GuardedBuffer<float> x = random_floats(&random, n);
    for (float& v : x) v *= random.below(4) ? 1.0f : 1e-3f;
    GuardedBuffer<uint8_t> expected(cache_bytes(CacheType::kQ8, n));
    scalar_kernels().f32_to_q8(x.data(), n, expected.data());
    std::vector<float> back(n);
    naive_q8_row(expected.data(), n, back.data());
    for (uint32_t i = 0; i < n; ++i) {
      float amax = 0;
      for (uint32_t j = i / 32 * 32; j < std::min(n, i / 32 * 32 + 32); ++j)
        amax = std::max(amax, std::fabs(x[j]));
      // Half a step, and for the largest what rounding the scale to f16 cost.
      REQUIRE(std::fabs(back[i] - x[i]) <= amax / 127 * 0.5 * 1.001 + amax / 2048);
    }
    for (const KernelTable* level : all_levels()) {
      CAPTURE(level->isa);
      GuardedBuffer<uint8_t> out(expected.size());
      level->f32_to_q8(x.data(), n, out.data());
      REQUIRE(std::memcmp(out.data(), expected.data(), out.size()) == 0);
    }
  }
}

TEST_CASE("q8 rows of nothing, of too much and of NaN are defined") {
  for (const KernelTable* level : all_levels()) {
    const auto back = [&](std::vector<float> x) {
      const uint32_t n = static_cast<uint32_t>(x.size());
      std::vector<uint8_t> row(cache_bytes(CacheType::kQ8, n));
      level->f32_to_q8(x.data(), n, row.data());
      naive_q8_row(row.data(), n, x.data());
      return x;
    };
    CHECK(back({0, 0, 0}) == std::vector<float>{0, 0, 0});
    CHECK(back({1e-30f, -1e-30f}) == std::vector<float>{0, 0});
    CHECK(back({kInfinity, -3e38f, 1}) == std::vector<float>{127 * 65504.0f, -127 * 65504.0f, 0});
    CHECK(back({std::nanf(""), 127, -1}) == std::vector<float>{0, 127, -1});
  }
}

struct AttentionCase {
  uint32_t head_dim, n, queries;
  CacheType key_type, value_type;
};

// Appends one query's softmax(q . k / 8) v.
void add_naive_attention(const AttentionCase& a, const float* query, const float* keys,
                         const float* values, std::vector<double>* truth) {
  std::vector<double> weights(a.n), out(a.head_dim);
  double sum = 0;
  for (uint32_t i = 0; i < a.n; ++i) {
    double score = 0;
    for (uint32_t d = 0; d < a.head_dim; ++d) score += double{query[d]} * keys[i * a.head_dim + d];
    sum += weights[i] = std::exp(score * 0.125);
  }
  for (uint32_t i = 0; i < a.n; ++i)
    for (uint32_t d = 0; d < a.head_dim; ++d)
      out[d] += weights[i] / sum * values[i * a.head_dim + d];
  truth->insert(truth->end(), out.begin(), out.end());
}

// Rows of `floats` as values of that type; `floats` become what they stand for.
GuardedBuffer<uint8_t> value_rows(CacheType type, uint32_t head_dim, GuardedBuffer<float>* floats) {
  const size_t row_bytes = cache_bytes(type, head_dim), rows = floats->size() / head_dim;
  GuardedBuffer<uint8_t> bytes(rows * row_bytes);
  for (size_t i = 0; i < rows; ++i) {
    float* row = floats->data() + i * head_dim;
    uint8_t* to = bytes.data() + i * row_bytes;
    if (type == CacheType::kQ8) {
      scalar_kernels().f32_to_q8(row, head_dim, to);
      naive_q8_row(to, head_dim, row);
    } else if (type == CacheType::kF16) {
      scalar_kernels().f32_to_f16(row, head_dim, reinterpret_cast<uint16_t*>(to));
      scalar_kernels().f16_to_f32(reinterpret_cast<uint16_t*>(to), head_dim, row);
    } else {
      std::memcpy(to, row, row_bytes);
    }
  }
  return bytes;
}

// The same as keys; positions that are not there are no numbers.
GuardedBuffer<uint8_t> key_blocks(CacheType type, uint32_t head_dim, GuardedBuffer<float>* floats) {
  const GuardedBuffer<uint8_t> rows = value_rows(type, head_dim, floats);
  const size_t positions = floats->size() / head_dim, row_bytes = cache_bytes(type, head_dim);
  GuardedBuffer<uint8_t> blocks(padded_positions(positions) * row_bytes);
  std::fill(blocks.begin(), blocks.end(), uint8_t{0xff});
  for (size_t position = 0; position < positions; ++position) {
    const uint8_t* from = rows.data() + position * row_bytes;
    const size_t block = position / 16 * 16 * row_bytes, lane = position % 16;
    size_t at = block;
    const auto take = [&](size_t bytes) {
      std::copy_n(from, bytes, blocks.data() + at + lane * bytes);
      from += bytes;
      at += 16 * bytes;
    };
    for (uint32_t d = 0; d < head_dim; ++d) {
      if (type == CacheType::kQ8 && d % 32 == 0) take(2);
      take(type == CacheType::kQ8 ? 1 : type == CacheType::kF16 ? 2 : 4);
    }
  }
  return blocks;
}

TEST_CASE("keys are stored dimension after dimension in blocks of 16 positions, values as rows") {
  Random random(31);
  for (const CacheType type : {CacheType::kF16, CacheType::kF32, CacheType::kQ8})
    for (const uint32_t head_dim : {8u, 12u, 64u, 80u})
      for (const uint32_t n : {1u, 16u, 19u}) {
        CAPTURE(head_dim);
        CAPTURE(n);
        GuardedBuffer<float> x = random_floats(&random, n * head_dim), stored = copy(x);
        const GuardedBuffer<uint8_t> blocks = key_blocks(type, head_dim, &stored);
        const GuardedBuffer<uint8_t> rows = value_rows(type, head_dim, &stored);
        GuardedBuffer<uint8_t> keys(blocks.size()), values(rows.size());
        std::fill(keys.begin(), keys.end(), uint8_t{0xff});
        for (uint32_t i = 0; i < n; ++i) {
          store_key(scalar_kernels(), type, head_dim, i, &x[i * head_dim], keys.data());
          store_value(scalar_kernels(), type, head_dim, i, &x[i * head_dim], values.data());
        }
        CHECK(std::memcmp(keys.data(), blocks.data(), blocks.size()) == 0);
        CHECK(std::memcmp(values.data(), rows.data(), rows.size()) == 0);
      }
}

// Every query alone by scalar, all at once by every level.
void check_attention(const AttentionCase& a, Random* random) {
  CAPTURE(a.head_dim);
  CAPTURE(a.n);
  CAPTURE(a.queries);
  const size_t size = size_t{a.n} * a.head_dim;
  GuardedBuffer<float> query = random_floats(random, a.queries * a.head_dim);
  GuardedBuffer<float> keys = random_floats(random, size), values = random_floats(random, size);
  const GuardedBuffer<uint8_t> key_bytes = key_blocks(a.key_type, a.head_dim, &keys);
  const GuardedBuffer<uint8_t> value_bytes = value_rows(a.value_type, a.head_dim, &values);
  const HeadCache cache = {key_bytes.data(), value_bytes.data(), a.key_type, a.value_type};
  std::vector<double> truth;
  for (uint32_t q = 0; q < a.queries; ++q)
    add_naive_attention(a, query.data() + q * a.head_dim, keys.data(), values.data(), &truth);
  GuardedBuffer<float> expected(truth.size());
  for (uint32_t q = 0; q < a.queries; ++q) {
    std::vector<float> scores(a.n);
    scalar_kernels().attention(query.data() + q * a.head_dim, 1, &cache, a.head_dim, a.n, 0.125f,
                               scores.data(), expected.data() + q * a.head_dim);
  }
  for (size_t i = 0; i < truth.size(); ++i) REQUIRE(std::fabs(expected[i] - truth[i]) < 2.5e-5);
  for (const KernelTable* level : all_levels()) {
    CAPTURE(level->isa);
    GuardedBuffer<float> scores(size_t{a.queries} * a.n), out(truth.size());
    level->attention(query.data(), a.queries, &cache, a.head_dim, a.n, 0.125f, scores.data(),
                     out.data());
    REQUIRE(same_floats(out.data(), expected.data(), truth.size()));
  }
}

TEST_CASE("attention is near a naive one and the same on every level, cache type and group size") {
  Random random(28);
  for (uint32_t head_dim : {8u, 12u, 16u, 64u, 80u, 128u})
    for (uint32_t n : {1u, 2u, 7u, 8u, 9u, 33u, 63u, 64u, 65u, 130u})
      for (CacheType key : {CacheType::kF16, CacheType::kF32, CacheType::kQ8})
        for (CacheType value : {CacheType::kF16, CacheType::kF32, CacheType::kQ8})
          check_attention({head_dim, n, 1 + random.below(5), key, value}, &random);
}

// Tokens of a prompt, each alone by scalar, all at once by every level. One position of the
// values is infinite: a query that does not see it must not notice.
void check_prefill_attention(const AttentionCase& a, uint32_t tokens, Random* random) {
  CAPTURE(a.head_dim);
  CAPTURE(a.n);
  CAPTURE(a.queries);
  CAPTURE(tokens);
  const uint32_t width = a.queries * a.head_dim, stride = width + 3, most = a.n + tokens - 1;
  const size_t size = size_t{most} * a.head_dim, floats = size_t{tokens} * stride;
  GuardedBuffer<float> query = random_floats(random, floats);
  GuardedBuffer<float> keys = random_floats(random, size), values = random_floats(random, size);
  values[size - 1] = kInfinity;
  const GuardedBuffer<uint8_t> key_bytes = key_blocks(a.key_type, a.head_dim, &keys);
  const GuardedBuffer<uint8_t> value_bytes = value_rows(a.value_type, a.head_dim, &values);
  const HeadCache cache = {key_bytes.data(), value_bytes.data(), a.key_type, a.value_type};
  GuardedBuffer<float> expected(floats);
  std::fill_n(expected.data(), floats, 0.5f);
  for (uint32_t t = 0; t < tokens; ++t) {
    std::vector<float> scores(size_t{a.queries} * most);
    scalar_kernels().attention(query.data() + t * stride, a.queries, &cache, a.head_dim, a.n + t,
                               0.125f, scores.data(), expected.data() + t * stride);
  }
  for (const KernelTable* level : all_levels()) {
    CAPTURE(level->isa);
    const uint64_t needed = prefill_attention_floats(tokens * a.queries, most, a.head_dim);
    GuardedBuffer<float> scratch(needed), out(floats);
    std::fill_n(out.data(), floats, 0.5f);
    level->prefill_attention(query.data(), stride, tokens, a.queries, &cache, a.head_dim, a.n,
                             0.125f, scratch.data(), out.data());
    REQUIRE(same_floats(out.data(), expected.data(), floats));
  }
}

TEST_CASE("attention of many tokens is that of each, on every level and for every cache type") {
  Random random(29);
  for (uint32_t head_dim : {8u, 16u, 48u, 64u, 128u})
    for (uint32_t n : {1u, 2u, 31u, 62u, 65u, 120u})
      for (uint32_t tokens : {1u, 2u, 5u, 19u})
        for (CacheType type : {CacheType::kF16, CacheType::kF32, CacheType::kQ8})
          check_prefill_attention({head_dim, n, 1 + random.below(5), type, type}, tokens, &random);
}

}  // namespace
}  // namespace trit
