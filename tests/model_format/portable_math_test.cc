// portable_math against the C library in long double, and bits that must never change.
#include "model_format/portable_math.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace {

// |got - want| in units in the last place of want.
double ulps(double got, long double want) {
  const double w = static_cast<double>(want);
  const double ulp = std::nextafter(std::fabs(w), INFINITY) - std::fabs(w);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - want) / ulp);
}

uint64_t bits(double x) {
  uint64_t b;
  std::memcpy(&b, &x, sizeof b);
  return b;
}

TEST_CASE("portable exp and log are within two ulp over their ranges") {
  double worst_exp = 0, worst_log = 0;
  for (int i = -20000; i <= 20000; ++i) {
    const double x = i * 0.035;
    worst_exp = std::fmax(worst_exp, ulps(trit::portable_exp(x), std::exp((long double)x)));
    const double y = std::exp2(i * 0.05) * (1 + i * 1e-7);
    worst_log = std::fmax(worst_log, ulps(trit::portable_log(y), std::log((long double)y)));
    const double near_one = 1 + i * 1e-6;
    if (i != 0) {
      worst_log =
          std::fmax(worst_log, ulps(trit::portable_log(near_one), std::log((long double)near_one)));
    }
  }
  CHECK(worst_exp < 2);
  CHECK(worst_log < 2);
}

TEST_CASE("portable sin and cos are accurate to 2^-52 absolutely up to 2^25") {
  double worst = 0;
  for (int i = 0; i < 40000; ++i) {
    const double x = i < 20000 ? i * 0.01 - 100 : (i - 20000) * 1677.7 + 0.123;
    worst = std::fmax(worst, (double)std::fabs(trit::portable_sin(x) - std::sin((long double)x)));
    worst = std::fmax(worst, (double)std::fabs(trit::portable_cos(x) - std::cos((long double)x)));
  }
  CHECK(worst < 0x1p-52);
}

TEST_CASE("portable pow gives rope frequencies to 3e-15") {
  for (int i = 0; i < 64; ++i) {
    const double want = std::pow(1e6L, -i / 64.0L);
    CHECK(std::fabs(trit::portable_pow(1e6, -i / 64.0) / want - 1) < 3e-15);
  }
}

TEST_CASE("portable functions are defined at the ends of their ranges") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(trit::portable_exp(0) == 1);
  CHECK(trit::portable_exp(-infinity) == 0);
  CHECK(trit::portable_exp(infinity) == infinity);
  CHECK(trit::portable_exp(-740) > 0);
  CHECK(trit::portable_exp(709.7) < infinity);
  CHECK(std::isnan(trit::portable_exp(NAN)));
  CHECK(trit::portable_log(1) == 0);
  CHECK(trit::portable_log(0) == -infinity);
  CHECK(std::isnan(trit::portable_log(-1)));
  CHECK(trit::portable_log(5e-324) == doctest::Approx(-744.4400719213812));
  CHECK(trit::portable_sin(0) == 0);
  CHECK(trit::portable_cos(0) == 1);
}

TEST_CASE("portable functions keep their bits") {
  CHECK(bits(trit::portable_exp(1)) == 0x4005bf0a8b14576a);
  CHECK(bits(trit::portable_log(10)) == 0x40026bb1bbb55516);
  CHECK(bits(trit::portable_sin(1)) == 0x3feaed548f090cee);
  CHECK(bits(trit::portable_cos(100)) == 0x3feb981dbf665fe0);
}

}  // namespace
