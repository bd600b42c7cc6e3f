// The steps of a forward pass over all tokens of a chunk. What forward.cc must not know is decided
// here, each in one place: inputs are quantized once for all matrices that cut them alike, rows and
// tokens are split over threads, one token takes the gemv and more the gemm, dense takes floats.
// A cancelled pass skips what is left; its results are garbage that nobody reads.
#ifndef TRITSTACK_RUNTIME_OPS_H_
#define TRITSTACK_RUNTIME_OPS_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <utility>

#include "kernels/kernels.h"
#include "model_format/model_config.h"
#include "model_format/span.h"
#include "runtime/arena.h"
#include "runtime/cancel_flag.h"
#include "runtime/kv_cache.h"
#include "runtime/rope_table.h"
#include "runtime/thread_pool.h"
#include "runtime/weights.h"

namespace trit {

class Ops {
 public:
  // One matrix applied to an input: out[tokens][matrix->rows].
  struct Product {
    const Matrix* matrix;
    float* out;
  };

  // All pointers outlive the Ops. `cancel` may be set by any thread.
  Ops(const ModelConfig* config, const KernelTable* kernels, ThreadPool* pool,
      const CancelFlag* cancel)
      : config_(config), kernels_(kernels), pool_(pool), cancel_(cancel) {}
  // For any planes of these matrices in use.
  void carve(Arena* arena, Span<const MatrixInfo> matrices, uint32_t threads, uint32_t tokens,
             uint32_t context);

  bool cancelled() const { return cancel_->cancelled(); }

  // Shown the input of every linear() first: x: [tokens][cols] of the first product's matrix. For
  // calibration.
  using InputObserver = std::function<void(const float* x, uint32_t tokens, const Matrix& first)>;
  void observe_inputs(InputObserver observer) { observer_ = std::move(observer); }

  // Rows ids[tokens] of the matrix: out[tokens][cols].
  void embed(const Matrix& embedding, const int32_t* ids, uint32_t tokens, float* out);
  // x: [tokens][cols], the same input for every product. Adds biases.
  void linear(const float* x, uint32_t tokens, std::initializer_list<Product> products);
  // x, out: [tokens][width]; out may be x.
  void rms_norm(const float* x, const float* weight, uint32_t tokens, uint32_t width, float* out);
  // The same for each head alone, in place: x: [tokens][n_heads][head_dim].
  void head_norm(float* x, const float* weight, uint32_t n_heads, uint32_t tokens);
  // x: [tokens][n_heads][head_dim], in place.
  void rotate(float* x, const RopeTable& rope, uint32_t n_heads, uint32_t tokens,
              uint32_t position);
  // key, value: [tokens][n_kv_heads][head_dim], to positions [position, position + tokens).
  void store(const float* key, const float* value, uint32_t tokens, uint32_t position,
             uint32_t layer, KvCache* cache);
  // Each token's query heads over all positions up to its own. query, out: [tokens][q_width].
  void attention(const float* query, const KvCache& cache, uint32_t layer, uint32_t tokens,
                 uint32_t position, float* out);
  // gate = activation(gate) * up; both [tokens][ffn].
  void activate(float* gate, const float* up, uint32_t tokens);
  // x += y; both [tokens][hidden].
  void add(float* x, const float* y, uint32_t tokens);

 private:
  template <typename Body>
  void parallel(uint32_t items, const Body& body);
  void quantize(const float* x, uint32_t tokens, const Matrix& matrix);
  void multiply(const float* x, uint32_t tokens, const Product* begin, const Product* end);
  void multiply_blocks(const Product& product, const float* x, uint32_t tokens, uint32_t begin,
                       uint32_t end, uint32_t thread);

  const ModelConfig* config_;
  const KernelTable* kernels_;
  ThreadPool* pool_;
  const CancelFlag* cancel_;
  InputObserver observer_;

  QuantizedActivations quantized_ = {};  // the current input; sized for the widest cut
  uint8_t* gemm_scratch_ = nullptr;      // [threads][gemm_scratch_stride_]
  uint64_t gemm_scratch_stride_ = 0;
  float* attention_scratch_ = nullptr;  // [threads][attention_floats_]
  uint64_t attention_floats_ = 0;
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_OPS_H_
