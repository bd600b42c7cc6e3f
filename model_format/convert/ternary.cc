// See ternary.h; the facts are those of the transformers library's integrations/bitnet.py.
#include "model_format/convert/ternary.h"

#include <algorithm>
#include <cmath>

#include "kernels/trit_plane.h"

namespace trit {

Status unpack_ternary_row(const Safetensors& tensors, const Tensor& tensor, uint32_t rows,
                          uint64_t row, uint32_t cols, int8_t* trits) {
  const uint64_t stored = ceil_div(rows, 4);
  const uint8_t* from = tensors.data(tensor) + row % stored * cols;
  const int shift = static_cast<int>(2 * (row / stored));
  for (uint32_t c = 0; c < cols; ++c) {
    const int code = from[c] >> shift & 3;
    if (code == 3)
      return tensors.bad_tensor(Code::kMalformed, tensor,
                                "[" + std::to_string(row % stored) + ", " + std::to_string(c) + "]",
                                "2-bit codes 0, 1 and 2", "3");
    trits[c] = static_cast<int8_t>(code - 1);
  }
  return Status();
}

double online_scale(double magnitude_sum, uint64_t count) {
  return std::max(magnitude_sum / static_cast<double>(count), 1e-5);
}

void round_ternary(const float* w, uint32_t n, double scale, int8_t* trits) {
  const double inverse = 1 / scale;
  // Half rounds to even, so to 0: only beyond it is a trit +1 or -1.
  for (uint32_t i = 0; i < n; ++i) {
    const double x = w[i] * inverse;
    trits[i] = static_cast<int8_t>((x > 0.5) - (x < -0.5));
  }
}

}  // namespace trit
