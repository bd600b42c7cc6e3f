// See forward.h. Reads like the paper: which steps there are depends on the features of the model
// (a norm or a bias that is null is not there), never on its name.
#include "runtime/forward.h"

namespace trit {

void attention_block(const ModelConfig& c, const LayerWeights& w, uint32_t layer,
                     Workspace* workspace, uint32_t tokens, uint32_t position) {
  auto& [ops, a, cache, rope] = *workspace;
  ops.rms_norm(a.residual, w.attention_norm, tokens, c.hidden, a.normed);
  ops.linear(a.normed, tokens, {{&w.q, a.query}, {&w.k, a.key}, {&w.v, a.value}});
  if (c.qk_norm) {
    ops.head_norm(a.query, w.q_norm, c.n_heads, tokens);
    ops.head_norm(a.key, w.k_norm, c.n_kv_heads, tokens);
  }
  ops.rotate(a.query, rope, c.n_heads, tokens, position);
  ops.rotate(a.key, rope, c.n_kv_heads, tokens, position);
  ops.store(a.key, a.value, tokens, position, layer, &cache);
  ops.attention(a.query, cache, layer, tokens, position, a.attended);
  if (c.sub_norm) ops.rms_norm(a.attended, w.attention_sub_norm, tokens, c.q_width(), a.attended);
  ops.linear(a.attended, tokens, {{&w.o, a.update}});
  ops.add(a.residual, a.update, tokens);
}

void ffn_block(const ModelConfig& c, const LayerWeights& w, Workspace* workspace, uint32_t tokens) {
  Ops& ops = workspace->ops;
  Activations& a = workspace->activations;
  ops.rms_norm(a.residual, w.ffn_norm, tokens, c.hidden, a.normed);
  ops.linear(a.normed, tokens, {{&w.gate, a.gate}, {&w.up, a.up}});
  ops.activate(a.gate, a.up, tokens);
  if (c.sub_norm) ops.rms_norm(a.gate, w.ffn_sub_norm, tokens, c.ffn, a.gate);
  ops.linear(a.gate, tokens, {{&w.down, a.update}});
  ops.add(a.residual, a.update, tokens);
}

bool forward(const ModelConfig& config, const Weights& weights, Workspace* workspace,
             const int32_t* ids, uint32_t tokens, uint32_t position, uint32_t n_logits,
             float* logits) {
  Ops& ops = workspace->ops;
  Activations& a = workspace->activations;
  workspace->rope.reach(position + tokens);
  ops.embed(weights.embedding, ids, tokens, a.residual);
  for (uint32_t layer = 0; layer < config.n_layers; ++layer) {
    attention_block(config, weights.layers[layer], layer, workspace, tokens, position);
    ffn_block(config, weights.layers[layer], workspace, tokens);
    if (ops.cancelled()) return false;
  }
  if (n_logits == 0) return true;
  const float* last = a.residual + size_t{tokens - n_logits} * config.hidden;
  ops.rms_norm(last, weights.final_norm, n_logits, config.hidden, a.normed);
  ops.linear(a.normed, n_logits, {{&weights.head, logits}});
  return !ops.cancelled();
}

}  // namespace trit
