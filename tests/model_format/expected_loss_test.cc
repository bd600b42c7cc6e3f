// The estimate of what each prefix costs.
#include "model_format/expected_loss.h"

#include <doctest/doctest.h>

#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace trit {
namespace {

ModelReader tiny_reader(const TempDir& folder, const TinyModel& model) {
  const std::string path = folder.path("tiny.trit");
  REQUIRE(write_tiny_model(path, model).ok());
  Result<ModelReader> reader = ModelReader::open(path);
  REQUIRE(reader.ok());
  return std::move(reader.value());
}

double sum(const ModelReader& reader, bool all_planes) {
  double loss = 0;
  for (const MatrixInfo& m : reader.matrices())
    loss += loss_sensitivity(m) * m.errors[(all_planes ? m.planes : m.base_planes) - 1];
  return loss;
}

TEST_CASE("the expected loss of a prefix is the weighted sum of its matrices' errors") {
  const TempDir folder;
  TinyModel model;
  model.config = tiny_config();
  const ModelReader reader = tiny_reader(folder, model);
  const std::vector<double> losses = expected_losses(reader);
  REQUIRE(losses.size() == reader.blocks().size() - reader.base_blocks() + 1);
  CHECK(losses.front() == doctest::Approx(sum(reader, false)));
  CHECK(losses.back() == doctest::Approx(sum(reader, true)));
  for (size_t i = 1; i < losses.size(); ++i) {
    const BlockInfo& block = reader.blocks()[reader.base_blocks() + i - 1];
    const MatrixInfo& m = reader.matrices()[block.matrix];
    const double saved = static_cast<double>(m.errors[block.plane - 1]) - m.errors[block.plane];
    CHECK(losses[i - 1] - losses[i] == doctest::Approx(loss_sensitivity(m) * saved));
  }
}

TEST_CASE("a model without residual planes has one expected loss") {
  const TempDir folder;
  TinyModel model;
  model.config = tiny_config();
  model.encoding = model.head_encoding = Encoding::kNative;
  model.planes = model.head_planes = 1;
  CHECK(expected_losses(tiny_reader(folder, model)).size() == 1);
}

}  // namespace
}  // namespace trit
