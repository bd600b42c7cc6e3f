// See ops.h. Every item of a parallel loop computes its outputs whole and alone, so neither the
// number of threads nor the size of a block can change a bit.
#include "runtime/ops.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "kernels/half.h"

namespace trit {

namespace {

// Weight bytes times tokens of one item, the least that a thread takes at the end of a loop: a few
// microseconds. Before that it takes runs of items, as one call of a kernel; but no more than
// kMostBlocks, so that a cancelled pass stops within milliseconds.
constexpr uint64_t kBlockWork = 32 * 1024;
constexpr uint32_t kMostBlocks = 32;
// BitNet's floor of the largest input, part of how those models were trained.
constexpr float kNativeMinAmax = 1e-5f;

uint64_t code_stride(uint32_t cols, uint32_t group) {
  return (row_vectors(cols, group) * kVectorCols + 63) / 64 * 64;
}

// Whether two matrices take the same quantized input (or both take floats).
bool same_cut(const Matrix& a, const Matrix& b) {
  if (is_dense(a.encoding) || is_dense(b.encoding))
    return is_dense(a.encoding) && is_dense(b.encoding);
  return a.planes.group == b.planes.group &&
         (a.encoding == Encoding::kNative) == (b.encoding == Encoding::kNative);
}

uint64_t tile_bytes(const Matrix& m) {
  if (m.encoding == Encoding::kDenseF32) return uint64_t{kTileRows} * m.cols * 4;
  if (m.encoding == Encoding::kDenseBf16) return uint64_t{kTileRows} * m.cols * 2;
  return row_vectors(m.cols, m.planes.group) * kVectorBytes * m.planes.planes;
}

uint32_t block_tiles(const Matrix& m, uint32_t tokens) {
  const uint64_t strips = kBlockWork / (tile_bytes(m) * tokens * kStripTiles);
  return static_cast<uint32_t>(std::max<uint64_t>(strips, 1) * kStripTiles);
}

uint32_t block_count(const Matrix& m, uint32_t tokens) {
  return static_cast<uint32_t>(ceil_div(tile_count(m.rows), block_tiles(m, tokens)));
}

// Attention of a prompt takes so many queries of a kv head together, so that they share the work of
// reading its keys and values; fewer where their scores would not stay in the L2 cache.
constexpr uint64_t kMostQueries = 64, kMostScores = 128 * 1024;

uint32_t attention_tokens(uint32_t heads_per_kv, uint32_t tokens, uint64_t positions) {
  const uint64_t queries = std::min(kMostQueries, kMostScores / positions);
  return static_cast<uint32_t>(
      std::min<uint64_t>(std::max<uint64_t>(queries / heads_per_kv, 1), tokens));
}

// Floats of scratch for one thread, at whatever position.
uint64_t attention_floats(const ModelConfig& config, uint64_t context) {
  const uint64_t heads_per_kv = config.n_heads / config.n_kv_heads;
  return prefill_attention_floats(std::max(kMostQueries, heads_per_kv), 1, config.head_dim) +
         std::max(heads_per_kv * context, std::min(kMostScores, kMostQueries * context));
}

}  // namespace

void Ops::carve(Arena* arena, Span<const MatrixInfo> matrices, uint32_t threads, uint32_t tokens,
                uint32_t context) {
  uint64_t codes = 0, groups = 0;
  gemm_scratch_stride_ = 0;
  for (const MatrixInfo& m : matrices) {
    if (is_dense(m.encoding)) continue;
    TritView all = {};
    all.rows = m.rows;
    all.cols = m.cols;
    all.group = m.group;
    all.planes = m.planes;
    all.encoding = m.encoding;
    codes = std::max(codes, code_stride(m.cols, m.group));
    groups = std::max(groups, group_count(m.cols, m.group));
    gemm_scratch_stride_ =
        std::max<uint64_t>(gemm_scratch_stride_, ceil_div(gemm_scratch_bytes(&all), 64) * 64);
  }
  quantized_.codes = arena->take<int8_t>(tokens * codes);
  quantized_.scales = arena->take<float>(group_stride_of(tokens) * groups);
  quantized_.sums = arena->take<int32_t>(group_stride_of(tokens) * groups);
  gemm_scratch_ = arena->take<uint8_t>(threads * gemm_scratch_stride_);
  attention_floats_ = attention_floats(*config_, context);
  attention_scratch_ = arena->take<float>(threads * attention_floats_);
}

// Each item checks for a cancel, so a pass ends within one item of it.
template <typename Body>
void Ops::parallel(uint32_t items, const Body& body) {
  pool_->parallel_for(items, [&](uint32_t item, uint32_t thread) {
    if (!cancelled()) body(item, thread);
  });
}

void Ops::embed(const Matrix& embedding, const int32_t* ids, uint32_t tokens, float* out) {
  parallel(tokens, [&](uint32_t t, uint32_t) {
    const uint32_t row = static_cast<uint32_t>(ids[t]);
    const size_t cols = embedding.cols;
    assert(row < embedding.rows);
    float* to = out + t * cols;
    if (embedding.encoding == Encoding::kDenseF32) {
      std::memcpy(to, static_cast<const float*>(embedding.dense) + row * cols, cols * 4);
    } else if (embedding.encoding == Encoding::kDenseBf16) {
      const uint16_t* from = static_cast<const uint16_t*>(embedding.dense) + row * cols;
      for (size_t i = 0; i < cols; ++i) to[i] = bf16_to_f32(from[i]);
    } else {
      dequantize_row(&embedding.planes, row, to);
    }
  });
}

void Ops::linear(const float* x, uint32_t tokens, std::initializer_list<Product> products) {
  if (observer_) observer_(x, tokens, *products.begin()->matrix);
  for (const Product* first = products.begin(); first != products.end();) {
    const Product* last = first + 1;
    while (last != products.end() && same_cut(*first->matrix, *last->matrix)) ++last;
    if (!is_dense(first->matrix->encoding)) quantize(x, tokens, *first->matrix);
    multiply(x, tokens, first, last);
    first = last;
  }
}

void Ops::quantize(const float* x, uint32_t tokens, const Matrix& m) {
  const uint32_t group = m.planes.group;
  const float min_amax = m.encoding == Encoding::kNative ? kNativeMinAmax : 0.0f;
  quantized_.code_stride = code_stride(m.cols, group);
  quantized_.group_stride = group_stride_of(tokens);
  parallel(tokens, [&](uint32_t t, uint32_t) {
    kernels_->quantize_activations(x + size_t{t} * m.cols, m.cols, group, min_amax, &quantized_, t);
  });
}

void Ops::multiply(const float* x, uint32_t tokens, const Product* begin, const Product* end) {
  uint32_t items = 0;
  for (const Product* p = begin; p != end; ++p) items += block_count(*p->matrix, tokens);
  pool_->parallel_runs(items, [&](uint32_t block, uint32_t last, uint32_t thread) {
    for (const Product* p = begin; block < last; ++p) {  // blocks are numbered through the products
      const uint32_t blocks = block_count(*p->matrix, tokens), stop = std::min(last, blocks);
      for (uint32_t count; block < stop && !cancelled(); block += count) {
        count = std::min(stop - block, kMostBlocks);
        multiply_blocks(*p, x, tokens, block, block + count, thread);
      }
      block -= std::min(block, blocks);
      last -= stop;
    }
  });
}

void Ops::multiply_blocks(const Product& product, const float* x, uint32_t tokens, uint32_t begin,
                          uint32_t end, uint32_t thread) {
  const Matrix& m = *product.matrix;
  const uint64_t tiles = block_tiles(m, tokens);
  const uint32_t tile_begin = static_cast<uint32_t>(begin * tiles);
  const uint32_t tile_end = static_cast<uint32_t>(std::min(end * tiles, tile_count(m.rows)));
  const uint32_t row_begin = tile_begin * kTileRows;
  const uint32_t row_end = std::min(tile_end * kTileRows, m.rows);
  if (is_dense(m.encoding)) {
    kernels_->dense_gemm(m.dense, m.encoding, m.cols, x, m.cols, tokens, row_begin, row_end,
                         product.out, m.rows);
  } else if (tokens == 1) {
    kernels_->trit_gemv(&m.planes, &quantized_, tile_begin, tile_end, product.out);
  } else {
    kernels_->trit_gemm(&m.planes, &quantized_, tokens, tile_begin, tile_end, product.out, m.rows,
                        gemm_scratch_ + thread * gemm_scratch_stride_);
  }
  if (!m.bias) return;
  for (uint32_t t = 0; t < tokens; ++t) {
    kernels_->add_multiple(product.out + size_t{t} * m.rows + row_begin, 1, m.bias + row_begin,
                           row_end - row_begin);
  }
}

void Ops::rms_norm(const float* x, const float* weight, uint32_t tokens, uint32_t width,
                   float* out) {
  parallel(tokens, [&](uint32_t t, uint32_t) {
    const size_t begin = size_t{t} * width;
    kernels_->rmsnorm(x + begin, weight, width, config_->norm_eps, out + begin);
  });
}

void Ops::head_norm(float* x, const float* weight, uint32_t n_heads, uint32_t tokens) {
  const uint32_t head_dim = config_->head_dim;
  parallel(tokens, [&](uint32_t t, uint32_t) {
    for (uint32_t h = 0; h < n_heads; ++h) {
      float* head = x + (size_t{t} * n_heads + h) * head_dim;
      kernels_->rmsnorm(head, weight, head_dim, config_->norm_eps, head);
    }
  });
}

void Ops::rotate(float* x, const RopeTable& rope, uint32_t n_heads, uint32_t tokens,
                 uint32_t position) {
  const uint32_t head_dim = config_->head_dim;
  parallel(tokens, [&](uint32_t t, uint32_t) {
    float* heads = x + size_t{t} * n_heads * head_dim;
    for (uint32_t h = 0; h < n_heads; ++h) {
      kernels_->rope(heads + size_t{h} * head_dim, rope.cos(position + t), rope.sin(position + t),
                     head_dim / 2);
    }
  });
}

void Ops::store(const float* key, const float* value, uint32_t tokens, uint32_t position,
                uint32_t layer, KvCache* cache) {
  // By heads: tokens share cache lines of keys.
  const uint32_t heads = config_->n_kv_heads, items = tokens == 1 ? 1 : heads;
  parallel(items, [&](uint32_t item, uint32_t) {
    for (uint32_t h = item; h < heads; h += items)
      for (uint32_t t = 0; t < tokens; ++t) {
        const size_t head = (size_t{t} * heads + h) * config_->head_dim;
        cache->store(*kernels_, layer, h, position + t, key + head, value + head);
      }
  });
}

void Ops::attention(const float* query, const KvCache& cache, uint32_t layer, uint32_t tokens,
                    uint32_t position, float* out) {
  const uint32_t kv_heads = config_->n_kv_heads, head_dim = config_->head_dim;
  const uint32_t heads_per_kv = config_->n_heads / kv_heads;
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
  const uint32_t block = attention_tokens(heads_per_kv, tokens, position + tokens);
  // One item: the query heads of a few tokens that share a kv head.
  parallel(static_cast<uint32_t>(ceil_div(tokens, block)) * kv_heads,
           [&](uint32_t item, uint32_t thread) {
             const uint32_t t = item / kv_heads * block, kv_head = item % kv_heads;
             const uint32_t count = std::min(block, tokens - t);
             const HeadCache head_cache = cache.head(layer, kv_head);
             const size_t head = (size_t{t} * config_->n_heads + kv_head * heads_per_kv) * head_dim;
             float* scratch = attention_scratch_ + thread * attention_floats_;
             if (tokens == 1)
               kernels_->attention(query + head, heads_per_kv, &head_cache, head_dim, position + 1,
                                   scale, scratch, out + head);
             else
               kernels_->prefill_attention(query + head, config_->q_width(), count, heads_per_kv,
                                           &head_cache, head_dim, position + t + 1, scale, scratch,
                                           out + head);
           });
}

void Ops::activate(float* gate, const float* up, uint32_t tokens) {
  const auto activation =
      config_->activation == Activation::kSilu ? kernels_->silu_mul : kernels_->relu2_mul;
  parallel(tokens, [&](uint32_t t, uint32_t) {
    const size_t begin = size_t{t} * config_->ffn;
    activation(gate + begin, up + begin, config_->ffn);
  });
}

void Ops::add(float* x, const float* y, uint32_t tokens) {
  parallel(tokens, [&](uint32_t t, uint32_t) {
    const size_t begin = size_t{t} * config_->hidden;
    kernels_->add_multiple(x + begin, 1, y + begin, config_->hidden);
  });
}

}  // namespace trit
