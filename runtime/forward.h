// The transformer itself: one pass over a chunk of tokens, for prefill and decode alike.
// Not here: how a step is computed (ops.h), what tokens come and go (session.h).
#ifndef TRITSTACK_RUNTIME_FORWARD_H_
#define TRITSTACK_RUNTIME_FORWARD_H_

#include <cstdint>

#include "model_format/model_config.h"
#include "runtime/activations.h"
#include "runtime/kv_cache.h"
#include "runtime/ops.h"
#include "runtime/rope_table.h"
#include "runtime/weights.h"

namespace trit {

// What a session's passes work in.
struct Workspace {
  Ops ops;
  Activations activations;
  KvCache cache;
  RopeTable rope;
};

// The two halves of a layer, each adding to the residual stream of `tokens` tokens in the
// workspace; the first of them is at `position`.
void attention_block(const ModelConfig& config, const LayerWeights& weights, uint32_t layer,
                     Workspace* workspace, uint32_t tokens, uint32_t position);
void ffn_block(const ModelConfig& config, const LayerWeights& weights, Workspace* workspace,
               uint32_t tokens);

// Appends ids[tokens] at `position` and computes the logits of the last n_logits of them
// (0..tokens), logits: [n_logits][vocab]. False when cancelled: what was written is not to be used.
bool forward(const ModelConfig& config, const Weights& weights, Workspace* workspace,
             const int32_t* ids, uint32_t tokens, uint32_t position, uint32_t n_logits,
             float* logits);

}  // namespace trit

#endif  // TRITSTACK_RUNTIME_FORWARD_H_
