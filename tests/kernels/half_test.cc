// Half precision: half.h against the definition of the format, every level's conversions against
// half.h.
#include "kernels/half.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernels/guarded_buffer.h"
#include "tests/kernels/kernel_levels.h"

namespace trit {
namespace {

// Sign, 5 bits of exponent, 10 of mantissa.
double naive_f16(uint32_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const double magnitude =
      exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
  return h & 0x8000 ? -magnitude : magnitude;
}

// f32 values between, on and next to all f16 values, and special ones.
std::vector<float> awkward_floats() {
  std::vector<float> all;
  for (uint32_t h = 0; h < 0x10000; h += 7) {
    const uint32_t bits = f32_to_bits(f16_to_f32(static_cast<uint16_t>(h)));
    for (uint32_t d : {0u, 0xfffu, 0x1000u, 0x1001u, 0x1fffu}) all.push_back(bits_to_f32(bits + d));
  }
  for (uint32_t bits : {0x33000000u, 0x33000001u, 0x32ffffffu, 0x477fefffu, 0x477ff000u, 0x1u,
                        0x7f7fffffu, 0x7f800000u, 0x7f800001u, 0x7fc12345u, 0x007fffffu}) {
    all.push_back(bits_to_f32(bits));
    all.push_back(bits_to_f32(bits | 0x80000000u));
  }
  Random random(3);
  for (int i = 0; i < 100000; ++i) all.push_back(bits_to_f32(random.bits()));
  return all;
}

TEST_CASE("every f16 value converts to f32 exactly and back to itself") {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float x = f16_to_f32(static_cast<uint16_t>(h));
    const uint16_t back = f32_to_f16(x);
    if ((h & 0x7c00) != 0x7c00) {
      REQUIRE(double{x} == naive_f16(h));
      REQUIRE(std::signbit(x) == (h >= 0x8000));
      REQUIRE(back == h);
    } else if (h & 0x3ff) {
      REQUIRE(std::isnan(x));
      REQUIRE(back == (h | 0x200));  // payload kept, made quiet
    } else {
      REQUIRE(std::isinf(x));
      REQUIRE(back == h);
    }
  }
}

TEST_CASE("f32 rounds to the nearest f16, ties to even, and overflows to infinity") {
  for (float x : awkward_floats()) {
    if (std::isnan(x)) continue;
    const uint16_t h = f32_to_f16(x);
    REQUIRE((h >= 0x8000) == std::signbit(x));
    const uint32_t magnitude = h & 0x7fff;
    const double value = std::fabs(double{x});
    if (magnitude == 0x7c00) {
      REQUIRE(value >= 65520);
      continue;
    }
    REQUIRE(value < 65520);
    const double error = std::fabs(value - naive_f16(magnitude));
    const double above = magnitude == 0x7bff ? 65536 : naive_f16(magnitude + 1);
    REQUIRE(error <= std::fabs(value - above));
    if (error == std::fabs(value - above)) REQUIRE(magnitude % 2 == 0);
    if (magnitude == 0) continue;
    REQUIRE(error <= std::fabs(value - naive_f16(magnitude - 1)));
    if (error == std::fabs(value - naive_f16(magnitude - 1))) REQUIRE(magnitude % 2 == 0);
  }
}

TEST_CASE("bf16 is the upper half of f32, rounded to nearest even") {
  CHECK(bf16_to_f32(0x3f80) == 1.0f);
  CHECK(f32_to_bf16(bits_to_f32(0x3f808000)) == 0x3f80);
  CHECK(f32_to_bf16(bits_to_f32(0x3f818000)) == 0x3f82);
  CHECK(f32_to_bf16(bits_to_f32(0x3f808001)) == 0x3f81);
  CHECK(f32_to_bf16(std::numeric_limits<float>::max()) == 0x7f80);
  CHECK(f32_to_bf16(bits_to_f32(0x7f800001)) == 0x7fc0);
}

TEST_CASE("every level converts halves bit for bit as half.h, NaN payloads included") {
  GuardedBuffer<uint16_t> halves(0x10000);
  for (uint32_t h = 0; h < 0x10000; ++h) halves[h] = static_cast<uint16_t>(h);
  GuardedBuffer<float> floats(0x10000);
  const std::vector<float> awkward = awkward_floats();
  for (const KernelTable* level : all_levels()) {
    CAPTURE(level->isa);
    level->f16_to_f32(halves.data(), 0x10000, floats.data());
    for (uint32_t h = 0; h < 0x10000; ++h)
      REQUIRE(f32_to_bits(floats[h]) == f32_to_bits(f16_to_f32(halves[h])));
    GuardedBuffer<uint16_t> out(awkward.size());
    level->f32_to_f16(awkward.data(), static_cast<uint32_t>(awkward.size()), out.data());
    for (size_t i = 0; i < awkward.size(); ++i) REQUIRE(out[i] == f32_to_f16(awkward[i]));
    for (uint32_t n = 0; n < 40; ++n) {  // tails
      GuardedBuffer<uint16_t> some(n), packed(n);
      GuardedBuffer<float> wide(n);
      for (uint32_t i = 0; i < n; ++i) some[i] = static_cast<uint16_t>(i * 1553);
      level->f16_to_f32(some.data(), n, wide.data());
      level->f32_to_f16(wide.data(), n, packed.data());
      for (uint32_t i = 0; i < n; ++i) REQUIRE(packed[i] == f32_to_f16(f16_to_f32(some[i])));
    }
  }
}

}  // namespace
}  // namespace trit
