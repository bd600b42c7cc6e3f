// See measured_order.h.
#include "cmd/measured_order.h"

#include <algorithm>
#include <cmath>

#include "model_format/convert/plane_order.h"
#include "model_format/portable_math.h"

namespace trit {

namespace {

constexpr size_t kPrefixes = 9;  // tried as a whole: base, all, and between them

// Plane `plane` of matrices of one kind in neighbouring layers.
struct Group {
  uint32_t plane;
  std::vector<uint32_t> matrices;
};

// A state of the whole model and what is left out of it, one group at a time.
struct Level {
  std::vector<uint32_t> planes;
  std::vector<Group> groups;
};

std::vector<Level> levels(Span<const MatrixInfo> matrices, uint32_t layers_together) {
  std::vector<Level> all;
  for (uint32_t below = 0; below < kMaxPlanes; ++below) {
    Level level;
    std::vector<size_t> open(kMatrixRoles, SIZE_MAX);  // by role: the group that may grow
    for (uint32_t i = 0; i < matrices.size(); ++i) {
      const MatrixInfo& m = matrices[i];
      const uint32_t planes = std::max(m.base_planes, m.planes - std::min(below, m.planes));
      level.planes.push_back(planes);
      if (planes == m.base_planes) continue;
      size_t& group = open[static_cast<size_t>(m.role)];
      if (group == SIZE_MAX || m.layer % layers_together == 0) {
        group = level.groups.size();
        level.groups.push_back({planes - 1, {}});
      }
      level.groups[group].matrices.push_back(i);
    }
    if (level.groups.empty()) break;
    all.push_back(std::move(level));
  }
  return all;
}

size_t count_trials(const std::vector<Level>& all) {
  size_t count = kPrefixes;
  for (const Level& level : all) count += 1 + level.groups.size();
  return count;
}

// What a group is worth goes to its matrices by what each plane takes off its matrix's error.
void share_value(Span<const MatrixInfo> matrices, const Group& group, double value,
                 PlaneValues* values) {
  double total = 0;
  const auto saved = [&](uint32_t i) {
    const float* errors = matrices[i].errors + group.plane;
    return std::max(1e-12, static_cast<double>(errors[-1]) - errors[0]);
  };
  for (const uint32_t i : group.matrices) total += saved(i);
  for (const uint32_t i : group.matrices) (*values)[i][group.plane] = value * saved(i) / total;
}

// Fills the qualities of all prefixes from those that were tried; between two of them the loss
// falls as the planes' values say.
void fill_qualities(const std::vector<size_t>& prefixes, const std::vector<PlaneTrial>& tried,
                    const PlaneValues& values, MeasuredOrder* order) {
  const PlaneTrial &base = tried.front(), &all = tried.back();
  const double range = base.divergence - all.divergence;
  const double scale = range > 0 ? (base.loss - all.loss) / range : 0;
  const auto quality = [&](double divergence) {
    return static_cast<float>(portable_exp(all.loss + scale * (divergence - all.divergence)));
  };
  order->base_quality = quality(base.divergence);
  for (size_t k = 1; k < prefixes.size(); ++k) {
    const size_t begin = prefixes[k - 1], end = prefixes[k];
    std::vector<double> left(end - begin + 1);  // value still to come, up to the end
    for (size_t i = end; i-- > begin;) {
      const ModelWriter::Residual& r = order->residuals[i];
      left[i - begin] = left[i - begin + 1] + std::max(0.0, values[r.matrix][r.plane]);
    }
    for (size_t i = begin; i < end; ++i) {
      const double share = left[0] > 0 ? left[i - begin + 1] / left[0] : 0;
      order->residuals[i].quality =
          quality(tried[k].divergence + share * (tried[k - 1].divergence - tried[k].divergence));
    }
  }
}

// Numbers of residual blocks, 0 to all, evenly spread over their bytes.
std::vector<size_t> spread_prefixes(Span<const MatrixInfo> matrices,
                                    const std::vector<ModelWriter::Residual>& residuals) {
  std::vector<uint64_t> ends = {0};
  for (const ModelWriter::Residual& r : residuals)
    ends.push_back(ends.back() + block_bytes(matrices[r.matrix], r.plane));
  std::vector<size_t> prefixes;
  for (size_t k = 0; k < kPrefixes; ++k) {
    const uint64_t wanted = ends.back() * k / (kPrefixes - 1);
    const auto at = std::lower_bound(ends.begin(), ends.end(), wanted);
    prefixes.push_back(static_cast<size_t>(at - ends.begin()));
  }
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  return prefixes;
}

}  // namespace

Result<MeasuredOrder> measure_order(PlaneTrials* trials, const ModelReader& reader,
                                    Span<const int32_t> ids, uint32_t window, uint64_t tokens,
                                    const PlaneTrials::Progress& progress) {
  const Span<const MatrixInfo> matrices = reader.matrices();
  uint32_t together = 1;
  std::vector<Level> all = levels(matrices, together);
  while (count_trials(all) * window > tokens && together < reader.config().n_layers) {
    together *= 2;
    all = levels(matrices, together);
  }
  const uint64_t windows = std::max<uint64_t>(1, tokens / (count_trials(all) * window));
  const Span<const int32_t> text = {ids.data(), std::min<size_t>(ids.size(), windows * window)};

  PlaneValues values(matrices.size());
  for (const Level& level : all) {
    std::vector<PlaneTrial> tried = {{level.planes}};
    for (const Group& group : level.groups) {
      tried.push_back({level.planes});
      for (const uint32_t i : group.matrices) --tried.back().planes[i];
    }
    TRIT_RETURN_IF_ERROR(trials->run(text, progress, &tried));
    for (size_t g = 0; g < level.groups.size(); ++g)
      share_value(matrices, level.groups[g], tried[g + 1].divergence - tried[0].divergence,
                  &values);
  }

  MeasuredOrder order;
  order.residuals = order_planes(matrices, values);
  const std::vector<size_t> prefixes = spread_prefixes(matrices, order.residuals);
  std::vector<PlaneTrial> tried;
  PlaneTrial trial;
  for (const MatrixInfo& m : matrices) trial.planes.push_back(m.base_planes);
  for (size_t i = 0, k = 0; k < prefixes.size(); ++k) {
    for (; i < prefixes[k]; ++i) ++trial.planes[order.residuals[i].matrix];
    tried.push_back(trial);
  }
  TRIT_RETURN_IF_ERROR(trials->run(text, progress, &tried));
  fill_qualities(prefixes, tried, values, &order);
  return order;
}

}  // namespace trit
