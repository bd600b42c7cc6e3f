// The fits of a group: how good, how prefix-valid, and what happens at the edges of f16.
#include "model_format/convert/decompose.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "kernels/half.h"
#include "tests/support/random.h"

namespace trit {
namespace {

// A fit with room for its trits.
struct Fitted {
  GroupFit fit;
  std::vector<int8_t> trits[kMaxPlanes];
  uint32_t planes;

  Fitted(Encoding encoding, const std::vector<float>& w, uint32_t k) : planes(k) {
    const uint32_t n = static_cast<uint32_t>(w.size());
    for (uint32_t p = 0; p < k; ++p) {
      trits[p].assign(n, 99);
      fit.trits[p] = trits[p].data();
    }
    FitScratch scratch(n);
    const std::vector<float> ones(n, 1.0f);
    if (encoding == Encoding::kTied)
      fit_tied(w.data(), ones.data(), n, k, &scratch, &fit);
    else
      fit_free(w.data(), n, k, &scratch, &fit);
  }

  // The tied level with the first p planes, in units of their own step.
  int level(size_t i, uint32_t p) const {
    int q = 0;
    for (uint32_t k = 0; k < p; ++k) q = 3 * q + trits[k][i];
    return q;
  }
  float step() const { return f16_to_f32(fit.scales[0]); }
};

std::vector<float> gaussian(Random* random, size_t n, double scale) {
  std::vector<float> w(n);
  for (float& x : w) x = static_cast<float>(scale * random->normal());
  return w;
}

// Relative errors per prefix over many Gaussian groups of 128.
std::vector<double> gaussian_errors(Encoding encoding, uint32_t planes) {
  Random random(7);
  double norm = 0;
  std::vector<double> errors(planes);
  for (int group = 0; group < 400; ++group) {
    const std::vector<float> w = gaussian(&random, 128, 0.02);
    const Fitted f(encoding, w, planes);
    for (const float x : w) norm += static_cast<double>(x) * x;
    for (uint32_t p = 0; p < planes; ++p) errors[p] += f.fit.errors[p];
  }
  for (double& e : errors) e = std::sqrt(e / norm);
  return errors;
}

double squared_error(const std::vector<float>& w, const Fitted& f, Encoding encoding) {
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    double value = 0;
    for (uint32_t p = 0; p < f.planes; ++p)
      value = encoding == Encoding::kTied
                  ? 3 * value + static_cast<double>(f.step()) * f.trits[p][i]
                  : value + static_cast<double>(f16_to_f32(f.fit.scales[p])) * f.trits[p][i];
    sum += (w[i] - value) * (w[i] - value);
  }
  return sum;
}

}  // namespace

TEST_CASE("tied planes of Gaussian weights reach the errors of the published sweep") {
  CHECK(gaussian_errors(Encoding::kTied, 1)[0] < 0.435);
  CHECK(gaussian_errors(Encoding::kTied, 2)[1] < 0.170);
  const auto three = gaussian_errors(Encoding::kTied, 3);
  CHECK(three[1] < 0.177);
  CHECK(three[2] < 0.0625);
  CHECK(gaussian_errors(Encoding::kTied, 4)[3] < 0.0205);
}

TEST_CASE("PTQTP of Gaussian weights reaches the published errors") {
  CHECK(gaussian_errors(Encoding::kFree, 1)[0] < 0.435);
  CHECK(gaussian_errors(Encoding::kFree, 2)[1] < 0.167);
  CHECK(gaussian_errors(Encoding::kFree, 3)[2] < 0.074);
  CHECK(gaussian_errors(Encoding::kFree, 4)[3] < 0.039);
}

TEST_CASE("a tied prefix is each weight rounded to the nearest level of the coarser step") {
  Random random(3);
  const std::vector<float> w = gaussian(&random, 100, 1.0);
  for (uint32_t planes = 1; planes <= kMaxPlanes; ++planes) {
    const Fitted f(Encoding::kTied, w, planes);
    double step = f.step();
    for (uint32_t p = planes; p > 0; --p, step *= 3) {
      double error = 0;
      for (size_t i = 0; i < w.size(); ++i) {
        const int most = tied_max_level(p);
        const double nearest = std::fmin(std::fmax(std::nearbyint(w[i] / step), -most), most);
        CHECK(std::abs(w[i] - step * f.level(i, p)) <=
              doctest::Approx(std::abs(w[i] - step * nearest)));
        error += std::pow(w[i] - step * f.level(i, p), 2);
      }
      CHECK(f.fit.errors[p - 1] == doctest::Approx(error));
    }
  }
}

TEST_CASE("the reported error is that of the stored scales and trits") {
  Random random(4);
  for (const Encoding encoding : {Encoding::kTied, Encoding::kFree}) {
    for (const size_t n : {1u, 2u, 15u, 16u, 17u, 160u}) {
      for (uint32_t planes = 1; planes <= kMaxPlanes; ++planes) {
        const std::vector<float> w = gaussian(&random, n, 0.1);
        const Fitted f(encoding, w, planes);
        CHECK(f.fit.errors[planes - 1] == doctest::Approx(squared_error(w, f, encoding)));
        for (uint32_t p = 0; p < planes; ++p)
          for (const int8_t t : f.trits[p]) CHECK(std::abs(t) <= 1);
      }
    }
  }
}

TEST_CASE("the step favours what counts more") {
  Random random(6);
  const std::vector<float> w = gaussian(&random, 160, 0.1);
  std::vector<float> importance(160, 1.0f);
  for (size_t i = 0; i < 20; ++i) importance[i] = 50;
  const std::vector<float> ones(160, 1.0f);
  for (uint32_t planes = 1; planes <= 2; ++planes) {  // more also weigh a prefix
    FitScratch scratch(160);
    const auto error = [&](float step) {
      const float most = static_cast<float>(tied_max_level(planes));
      double sum = 0;
      for (size_t i = 0; i < w.size(); ++i) {
        const float q = std::fmin(std::fmax(std::nearbyint(w[i] / step), -most), most);
        sum += static_cast<double>(importance[i] * (w[i] - step * q) * (w[i] - step * q));
      }
      return sum;
    };
    CHECK(error(tied_step(w.data(), importance.data(), 160, planes, &scratch)) <
          error(tied_step(w.data(), ones.data(), 160, planes, &scratch)));
  }
}

TEST_CASE("a group of zeros stays exactly zero") {
  for (const Encoding encoding : {Encoding::kTied, Encoding::kFree}) {
    for (uint32_t planes = 1; planes <= kMaxPlanes; ++planes) {
      const std::vector<float> w(37, 0.0f);
      const Fitted f(encoding, w, planes);
      CHECK(squared_error(w, f, encoding) == 0);
      for (uint32_t p = 0; p < planes; ++p) CHECK(f.fit.errors[p] == 0);
    }
  }
}

TEST_CASE("a group on the grid of an f16 step is exact") {
  std::vector<float> w;
  for (int q = -13; q <= 13; ++q) w.push_back(0.125f * static_cast<float>(q));
  CHECK(Fitted(Encoding::kTied, w, 3).fit.errors[2] == 0);
}

TEST_CASE("magnitudes at the edges of f16 give finite scales and no worse than zeros") {
  Random random(5);
  for (const Encoding encoding : {Encoding::kTied, Encoding::kFree}) {
    for (uint32_t planes = 1; planes <= kMaxPlanes; ++planes) {
      for (const float size :
           {1e-40f, 1e-20f, 1e-8f, 1e-6f, 1e-3f, 1e3f, 0.99f * max_weight(encoding, planes)}) {
        std::vector<float> w(64);
        double norm = 0;
        for (float& x : w) {
          x = size * static_cast<float>(2 * random.uniform() - 1);
          norm += static_cast<double>(x) * x;
        }
        const Fitted f(encoding, w, planes);
        for (uint32_t p = 0; p < (encoding == Encoding::kTied ? 1 : planes); ++p)
          CHECK((f.fit.scales[p] & 0x7c00) != 0x7c00);
        CHECK(f.fit.errors[planes - 1] <= norm);
        if (size >= 1e-3f) CHECK(f.fit.errors[planes - 1] < 0.4 * norm);
      }
    }
  }
}

TEST_CASE("an outlier does not cost the rest of its group") {
  Random random(6);
  std::vector<float> w = gaussian(&random, 160, 1.0);
  w[17] = 5.0f;
  const Fitted f(Encoding::kTied, w, 2);
  CHECK(f.fit.errors[1] < 0.08 * 160);  // the step that just reaches it, 5 / 4, would make it .13
}

TEST_CASE("scales of PTQTP are positive and sorted") {
  Random random(8);
  for (uint32_t planes = 2; planes <= kMaxPlanes; ++planes) {
    const std::vector<float> w = gaussian(&random, 128, 0.02);
    const Fitted f(Encoding::kFree, w, planes);
    for (uint32_t p = 0; p < planes; ++p) {
      CHECK(f16_to_f32(f.fit.scales[p]) > 0);
      if (p > 0) CHECK(f.fit.scales[p] <= f.fit.scales[p - 1]);
    }
  }
}

TEST_CASE("PTQTP gives every weight the nearest of the values its scales can make") {
  Random random(9);
  const std::vector<float> w = gaussian(&random, 128, 0.02);
  const Fitted f(Encoding::kFree, w, 2);
  const double a = f16_to_f32(f.fit.scales[0]), b = f16_to_f32(f.fit.scales[1]);
  for (size_t i = 0; i < w.size(); ++i) {
    double best = INFINITY;
    for (int t = -1; t <= 1; ++t)
      for (int u = -1; u <= 1; ++u) best = std::fmin(best, std::abs(w[i] - a * t - b * u));
    CHECK(std::abs(w[i] - a * f.trits[0][i] - b * f.trits[1][i]) == doctest::Approx(best));
  }
}

}  // namespace trit
