// See curve.h.
#include "cmd/common/curve.h"

#include <algorithm>
#include <cmath>

#include "cmd/common/error.h"

namespace trit {

namespace {

// The range of memory that a picture shows: that of the points, and the budget unless that is far.
CurveAxis memory_axis(const Curve& curve, const SizeUnit& unit, double steps) {
  const double scale = static_cast<double>(unit.bytes);
  double least = static_cast<double>(curve.points.front().bytes) / scale;
  double most = static_cast<double>(curve.points.back().bytes) / scale;
  if (curve.budget) {
    const double budget = static_cast<double>(*curve.budget) / scale, far = (most - least) / 2;
    if (budget > least - far && budget < most + far) {
      least = std::min(least, budget);
      most = std::max(most, budget);
    }
  }
  return {least, most, steps};
}

// Shares begin at 0; perplexities would only be pressed flat by that.
CurveAxis value_axis(const Curve& curve, double steps) {
  double least = curve.points.front().value, most = least;
  for (const CurvePoint& point : curve.points) {
    least = std::min(least, point.value);
    most = std::max(most, point.value);
  }
  return {curve.value_unit.empty() ? least : 0, most, steps};
}

}  // namespace

CurveAxis::CurveAxis(double least, double most, double wanted_steps) {
  if (most - least <= 1e-6 * std::abs(most)) most = least + std::max(1.0, std::abs(least) / 10);
  const double wanted = (most - least) / wanted_steps;
  double power = 1;
  while (power * 10 <= wanted) power *= 10;
  while (power > wanted) power /= 10;
  step = power * (wanted > 5 * power ? 10 : wanted > 2 * power ? 5 : wanted > power ? 2 : 1);
  low = std::floor(least / step) * step;
  high = std::ceil(most / step) * step;
}

int CurveAxis::steps() const {
  return static_cast<int>(std::lround((high - low) / step));
}

std::string CurveAxis::text(int tick) const {
  int decimals = 0;
  for (double rest = step; rest < 0.999; rest *= 10) ++decimals;
  return format("%.*f", decimals, low + tick * step);
}

CurveFrame::CurveFrame(const Curve& c, double memory_steps, double value_steps)
    : curve(c),
      unit(c.points.back().bytes),
      memory(memory_axis(c, unit, memory_steps)),
      values(value_axis(c, value_steps)) {}

double CurveFrame::x(uint64_t bytes) const {
  return memory.place(static_cast<double>(bytes) / static_cast<double>(unit.bytes));
}

std::string CurveFrame::point_text(size_t point) const {
  const CurvePoint& p = curve.points[point];
  return unit.text(p.bytes) + ", " + format("%.*f", curve.decimals, p.value) + curve.value_unit;
}

}  // namespace trit
