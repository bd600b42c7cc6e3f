// The weights as the forward pass sees them: views into the mapped file, named as in the papers.
// What a model does not have is null (a bias, a norm). Not here: how the views come to be
// (model.cc), how a matrix is multiplied (ops.cc).
#ifndef TRITSTACK_RUNTIME_WEIGHTS_H_
#define TRITSTACK_RUNTIME_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "kernels/trit_plane.h"
#include "model_format/model_config.h"

namespace trit {

// rows outputs, cols inputs; planes or dense values.
struct Matrix {
  Encoding encoding = Encoding::kTied;
  uint32_t rows = 0, cols = 0;
  TritView planes = {};         // the resident ones; unused when dense
  const void* dense = nullptr;  // [rows][cols] f32 or bf16; null for planes
  const float* bias = nullptr;  // [rows] or null
};

struct LayerWeights {
  const float* attention_norm;      // [hidden]
  Matrix q, k, v;                   // [q_width, kv_width, kv_width][hidden]
  const float* q_norm;              // [head_dim] or null
  const float* k_norm;              // [head_dim] or null
  const float* attention_sub_norm;  // [q_width] or null
  Matrix o;                         // [hidden][q_width]
  const float* ffn_norm;            // [hidden]
  Matrix gate, up;                  // [ffn][hidden]
  const float* ffn_sub_norm;        // [ffn] or null
  Matrix down;                      // [hidden][ffn]
};

// `role`: of a layer matrix.
inline Matrix* matrix_of(LayerWeights* w, MatrixRole role) {
  Matrix* const matrices[] = {&w->q, &w->k, &w->v, &w->o, &w->gate, &w->up, &w->down};
  return matrices[static_cast<size_t>(role) - static_cast<size_t>(MatrixRole::kQ)];
}

struct Weights {
  Matrix embedding;  // [vocab][hidden]
  std::vector<LayerWeights> layers;
  const float* final_norm;  // [hidden]
  Matrix head;              // [vocab][hidden]; the same views as embedding when tied
};

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_WEIGHTS_H_
