// Planes chosen by what they do to the outputs of a matrix on real inputs (GPTQ, arXiv 2210.17323,
// in the form of LDLQ): a column is rounded, and the columns after it make up for its error. A
// stack of K tied planes is K models at once, so every prefix has its own inputs and its own
// targets, and a level is the best for the weighted sum of their errors. Then columns are chosen
// again, given all others, a few times over, and steps with them. Rows do not know of each other.
// Not here: where the statistics come from (calibration.h).
#ifndef TRITSTACK_MODEL_FORMAT_CONVERT_COMPENSATE_H_
#define TRITSTACK_MODEL_FORMAT_CONVERT_COMPENSATE_H_

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "model_format/convert/calibration.h"
#include "model_format/convert/decompose.h"
#include "model_format/convert/factorize.h"
#include "model_format/model_config.h"

namespace trit {

class Compensator {
 public:
  // statistics: of the prefixes, most planes (info.planes) first; factors: of their moments. All of
  // it outlives the compensator.
  Compensator(const MatrixInfo& info, const std::vector<InputStatistics>& statistics,
              const std::vector<Factor>& factors);

  // Most rows of one call: moments and factor are read once for all of them.
  static constexpr uint32_t kMaxRows = 128;

  // What a call of fit() works in; one per thread.
  class Scratch {
   public:
    explicit Scratch(const Compensator& compensator);

   private:
    friend class Compensator;
    friend class RowFit;
    struct Prefix {
      std::vector<float> wanted;   // [rows][cols] what weights H should be
      std::vector<float> targets;  // [rows][cols] Z of compensate.cc
      std::vector<float> weights;  // [cols][kMaxRows] as planes make them; 0 where undecided
      std::vector<float> sums;     // [rows][cols] multiply(), of the columns at hand
    };
    std::vector<Prefix> prefixes;
    std::vector<float> turned;  // [cols][kMaxRows] the weights of the matrix
    std::vector<float> solved;  // [cols] of a row
    std::vector<float> panels;  // of multiply()
    FitScratch fit;
  };

  // weights: [rows][cols], rows `first_row` and on of the matrix. Fills levels [rows][cols], in
  // +-tied_max_level(planes), and the f16 steps of the last plane, [rows][groups].
  void fit(const float* weights, uint64_t first_row, uint32_t rows, Scratch* scratch,
           int8_t* levels, uint16_t* scales) const;

 private:
  friend class RowFit;
  struct Prefix {
    float weight;      // of its error in the sum
    uint32_t dropped;  // planes it lacks
    const InputStatistics* statistics;
    const Factor* factor;
  };
  struct Columns {
    uint32_t begin, end;
  };
  Columns group(uint32_t index) const;
  void set_wanted(const Prefix& prefix, uint64_t first_row, uint32_t rows, Scratch* scratch,
                  Scratch::Prefix* to) const;
  void set_targets(const Prefix& prefix, uint32_t rows, Scratch* scratch,
                   Scratch::Prefix* to) const;
  // sums[:, to) = columns `from` of x times those rows of a [cols][cols] matrix.
  // x: [cols][kMaxRows], sums: [rows][cols].
  void multiply(const std::vector<float>& x, uint32_t rows, Columns from, const float* matrix,
                Columns to, std::vector<float>* panels, std::vector<float>* sums) const;
  void decide(uint32_t rows, Scratch* scratch, int8_t* levels, uint16_t* scales) const;
  bool improve(uint32_t rows, Scratch* scratch, int8_t* levels, uint16_t* scales) const;

  const MatrixInfo& info_;
  const KernelTable& kernels_;
  std::vector<Prefix> prefixes_;
  std::vector<float> importance_;  // [cols] of an error in a weight, others unseen
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_CONVERT_COMPENSATE_H_
