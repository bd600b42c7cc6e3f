// See portable_math.h. Each function reduces its argument exactly or nearly so (constants split in
// parts whose products with the multiplier are exact), then sums a Taylor series by Horner's rule;
// the last terms are below 2^-56 of the sum in the reduced range. That of exp, which scoring takes
// of every word of a vocabulary, divides by nothing.
#include "model_format/portable_math.h"

#include <cstdint>
#include <cstring>
#include <limits>

namespace trit {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// ln 2 and pi/2 in parts of 32 and 28 bits, and what is left.
constexpr double kLn2High = 0x1.62e42fee00000p-1, kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kHalfPi[] = {0x1.921fb54000000p+0, 0x1.10b4610000000p-30, 0x1.a626330000000p-58,
                              0x1.45c06e0e68948p-86};

uint64_t bits_of(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

double from_bits(uint64_t bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

constexpr int kExpTerms = 14;
struct InverseFactorials {
  double of[kExpTerms + 2];
};
constexpr InverseFactorials inverse_factorials() {
  InverseFactorials f = {{1}};
  double factorial = 1;  // exact: 15! is below 2^53
  for (int n = 1; n <= kExpTerms + 1; ++n) f.of[n] = 1 / (factorial *= n);
  return f;
}
constexpr InverseFactorials kInverseFactorials = inverse_factorials();

// 2^k for -1022 <= k <= 1023.
double power_of_two(int64_t k) {
  return from_bits(static_cast<uint64_t>(k + 1023) << 52);
}

int64_t nearest(double x) {
  return static_cast<int64_t>(x < 0 ? x - 0.5 : x + 0.5);
}

// x - k pi/2 in [-pi/4, pi/4], and k mod 4.
double reduce(double x, int* quadrant) {
  const int64_t k = nearest(x * 0x1.45f306dc9c883p-1);  // 2 / pi
  *quadrant = static_cast<int>(k & 3);
  double r = x;
  for (const double part : kHalfPi) r -= static_cast<double>(k) * part;
  return r;
}

double sin_series(double r) {
  const double s = r * r;
  double sum = 0;
  for (int n = 19; n >= 3; n -= 2) sum = (sum + 1) * -s / (n * (n - 1));
  return r + r * sum;
}

double cos_series(double r) {
  const double s = r * r;
  double sum = 0;
  for (int n = 20; n >= 4; n -= 2) sum = (sum + 1) * -s / (n * (n - 1));
  // 1 - s/2 + s^2/24 ...: the two large terms last.
  return 1 + (-0.5 * s + -0.5 * s * sum);
}

}  // namespace

double portable_exp(double x) {
  if (!(x == x)) return x;
  if (x > 709.8) return kInfinity;
  if (x < -745.2) return 0;
  const int64_t k = nearest(x * 0x1.71547652b82fep+0);  // 1 / ln 2
  const double r = (x - static_cast<double>(k) * kLn2High) - static_cast<double>(k) * kLn2Low;
  const double s = r * r;
  double even = 0, odd = 0;  // two sums, neither of which waits for the other
  for (int n = kExpTerms; n >= 2; n -= 2) {
    even = even * s + kInverseFactorials.of[n];
    odd = odd * s + kInverseFactorials.of[n + 1];
  }
  const double y = 1 + (r + s * (even + r * odd));
  // In two steps, so that neither factor leaves the range of normal numbers.
  const int64_t half = k >> 1;
  return y * power_of_two(half) * power_of_two(k - half);
}

double portable_log(double x) {
  if (!(x == x) || x == kInfinity) return x;
  if (x <= 0) return x == 0 ? -kInfinity : std::numeric_limits<double>::quiet_NaN();
  int64_t exponent = 0;
  if (x < 0x1p-1022) {  // subnormal
    x *= 0x1p54;
    exponent = -54;
  }
  uint64_t bits = bits_of(x);
  exponent += static_cast<int64_t>(bits >> 52) - 1023;
  double m = from_bits((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);  // in [1, 2)
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  // log m = 2 atanh(f), f = (m - 1) / (m + 1), |f| < 0.172; written so that m - 1, which is exact,
  // is the leading term: 2f = (m - 1) - f (m - 1).
  const double d = m - 1, f = d / (m + 1), s = f * f;
  double sum = 0;
  for (int n = 23; n >= 3; n -= 2) sum = sum * s + 1.0 / n;
  const double e = static_cast<double>(exponent);
  return e * kLn2High + (d - (f * (d - 2 * s * sum) - e * kLn2Low));
}

double portable_pow(double x, double y) {
  return portable_exp(y * portable_log(x));
}

double portable_sin(double x) {
  int quadrant;
  const double r = reduce(x, &quadrant);
  const double y = quadrant & 1 ? cos_series(r) : sin_series(r);
  return quadrant & 2 ? -y : y;
}

double portable_cos(double x) {
  int quadrant;
  const double r = reduce(x, &quadrant);
  const double y = quadrant & 1 ? sin_series(r) : cos_series(r);
  return (quadrant == 1 || quadrant == 2) ? -y : y;
}

}  // namespace trit
