// Weights that are ternary before we see them (BitNet): packed in bytes, or masters that the model
// itself rounds on load. Both become `native` planes without loss.
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_TERNARY_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_TERNARY_H_

#include <cstdint>

#include "model_format/convert/safetensors.h"
#include "model_format/status.h"

namespace trit {

// Row `row` of a packed matrix of `rows` rows: with R = ceil(rows / 4) stored rows, bits 2i and
// 2i + 1 of stored row r hold row r + i R as trit + 1. kMalformed on the code 3.
Status unpack_ternary_row(const Safetensors& tensors, const Tensor& tensor, uint32_t rows,
                          uint64_t row, uint32_t cols, int8_t* trits);

// The scale of masters: the mean magnitude, at least 1e-5. And their trits: nearest even.
double online_scale(double magnitude_sum, uint64_t count);
void round_ternary(const float* w, uint32_t n, double scale, int8_t* trits);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_TERNARY_H_
