// Puts the residual planes of a finished file in the order of what they are worth on text. Values
// are measured from the top down: all planes but one of one matrix, whose absence costs its value;
// then the same below, with one plane less everywhere. (Upwards, from the base, tells less: planes
// are fitted to what the same planes of other matrices do, so a lone plane above the base gains too
// little.) Costs are divergences from the dense model, which are steadier than perplexities; the
// perplexities that the file shows follow a few prefixes that are tried as a whole.
// Not here: how a trial runs (plane_trials.h), how a file is copied (convert/plane_order.h).
#ifndef TRITSTACK_CMD_MEASURED_ORDER_H_
#define TRITSTACK_CMD_MEASURED_ORDER_H_

#include <vector>

#include "cmd/plane_trials.h"
#include "model_format/writer.h"

namespace trit {

struct MeasuredOrder {
  std::vector<ModelWriter::Residual> residuals;  // with the expected perplexity of each prefix
  float base_quality;
};

// `tokens`: about how many are read in all. Where they do not reach for a window per trial, the
// matrices of one kind in neighbouring layers are tried together; never less than that.
Result<MeasuredOrder> measure_order(PlaneTrials* trials, const ModelReader& reader,
                                    Span<const int32_t> ids, uint32_t window, uint64_t tokens,
                                    const PlaneTrials::Progress& progress);

}  // namespace trit

#endif  // TRITSTACK_CMD_MEASURED_ORDER_H_
