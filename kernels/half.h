// f16 and bf16 bits to and from float, in portable integer arithmetic: the definition that every
// hardware conversion equals (nearest even, overflow to infinity, NaN stays NaN and becomes quiet).
#ifndef TRITSTACK_KERNELS_HALF_H_
#define TRITSTACK_KERNELS_HALF_H_

#include <stdint.h>
#include <string.h>

namespace trit {

static inline float bits_to_f32(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

static inline uint32_t f32_to_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

static inline float bf16_to_f32(uint16_t h) {
  return bits_to_f32(static_cast<uint32_t>(h) << 16);
}

static inline uint16_t f32_to_bf16(float x) {
  const uint32_t bits = f32_to_bits(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

static inline float f16_to_f32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = (h >> 10) & 31, mantissa = h & 1023;
  if (exponent == 31)
    return bits_to_f32(sign | 0x7f800000u | (mantissa ? 0x400000u : 0u) | mantissa << 13);
  if (exponent) return bits_to_f32(sign | ((exponent + 112) << 23) | mantissa << 13);
  const float tiny = static_cast<float>(mantissa) * bits_to_f32(0x33800000u);  // 2^-24
  return bits_to_f32(sign | f32_to_bits(tiny));
}

static inline uint16_t f32_to_f16(float x) {
  const uint32_t bits = f32_to_bits(x), magnitude = bits & 0x7fffffffu;
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  if (magnitude > 0x7f800000u)
    return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 1023));
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00);  // rounds past 65504
  if (magnitude < 0x38800000u) {  // below 2^-14: adding 0.5 leaves the subnormal in the low bits
    const float shifted = bits_to_f32(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (f32_to_bits(shifted) - 0x3f000000u));
  }
  return static_cast<uint16_t>(
      sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1)) >> 13));
}

}  // namespace trit

#endif  // TRITSTACK_KERNELS_HALF_H_
