// What ternary planes add to a model's loss, estimated from the errors that its file stores, by the
// linear rule of HIGGS (arXiv 2411.17525): each matrix adds a * (relative error)^2, with `a` a
// value per kind of matrix. It orders the planes of files that were not calibrated and gives the
// shape of quality against memory; its scale is unknown, so only ratios mean something. Not here:
// measured perplexities (BlockInfo::quality).
#ifndef TRITSTACK_MODEL_FORMAT_EXPECTED_LOSS_H_
#define TRITSTACK_MODEL_FORMAT_EXPECTED_LOSS_H_

#include <vector>

#include "model_format/model_config.h"
#include "model_format/reader.h"

namespace trit {

// The prior `a`.
double loss_sensitivity(const MatrixInfo& matrix);

// Of every prefix of the stored order, from the base blocks alone to all blocks.
std::vector<double> expected_losses(const ModelReader& reader);

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_EXPECTED_LOSS_H_
