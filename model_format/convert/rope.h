// Rotary embedding: from the settings of config.json to one frequency per pair of a head and a
// factor on cos and sin, so that the runtime knows no rope types. Computed with portable_math, so
// the file's bytes do not depend on the machine.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_ROPE_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_ROPE_H_

#include "model_format/convert/json_fields.h"
#include "model_format/model_config.h"

namespace trit {

// Fills rope_frequencies and rope_factor; head_dim and max_positions are set. Reads rope_theta +
// rope_scaling, or rope_parameters (transformers 5). Types: default, linear, llama3, yarn; others
// are kUnsupported by name. Errors stay in `fields`.
void read_rope(JsonFields* fields, ModelConfig* config);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_ROPE_H_
