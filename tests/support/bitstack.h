// BitStack (arXiv 2410.23918), a baseline to compare with: a matrix as a sum of residual blocks,
// each the signs of what is left and a low-rank matrix of its magnitudes, with columns scaled by
// their inputs first. Followed is the authors' code where the paper leaves something out.
#ifndef TRITSTACK_TESTS_SUPPORT_BITSTACK_H_
#define TRITSTACK_TESTS_SUPPORT_BITSTACK_H_

#include <cstdint>
#include <functional>
#include <vector>

namespace trit {

// Signs take a bit; each factor is f16.
uint64_t bitstack_block_bytes(uint32_t rows, uint32_t cols, uint32_t rank);

// The matrix [rows][cols] with the first 1, 2, .. `blocks` blocks. scales: [cols], above 0.
std::vector<std::vector<float>> bitstack(const std::vector<float>& weights, uint32_t rows,
                                         uint32_t cols, const std::vector<float>& scales,
                                         uint32_t rank, uint32_t blocks);

// Their order ("Average"): with b blocks everywhere, one matrix after the other is raised to b + 1;
// those with the least loss come first, and every matrix gets its block b + 1 before any gets
// b + 2. Returns matrices, (blocks - 1) times each.
std::vector<uint32_t> bitstack_order(
    size_t matrices, uint32_t blocks,
    const std::function<double(const std::vector<uint32_t>& blocks)>& loss);

}  // namespace trit

#endif  // TRITSTACK_TESTS_SUPPORT_BITSTACK_H_
