// The product's inner kernel holds a block of the result in registers while it walks along k.
#include "gemm.h"

#include <algorithm>

namespace crnn {
namespace {

#if defined(__AVX512F__)
constexpr int kRows = 12;  // 24 of 32 registers hold sums
#else
constexpr int kRows = 6;  // 12 of 16
#endif
constexpr int64_t kDepth = 256;  // rows of b at a time: a panel of them stays in the first-level cache

template <int M>
void block(int64_t k, const float *a, int64_t a_row, int64_t a_column, const float *b, int64_t b_row, float *c,
           int64_t c_row, bool accumulate) {
    Vector sum[M][2];
    for (int i = 0; i < M; i++) {
        sum[i][0] = accumulate ? load(c + i * c_row) : Vector{};
        sum[i][1] = accumulate ? load(c + i * c_row + kLanes) : Vector{};
    }
    for (int64_t p = 0; p < k; p++, a += a_column, b += b_row) {
        Vector left = load(b), right = load(b + kLanes);
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            Vector x = a[i * a_row] - Vector{};  // subtracting 0 costs nothing, adding it does (-0)
            sum[i][0] += x * left;
            sum[i][1] += x * right;
        }
    }
    for (int i = 0; i < M; i++) {
        store(c + i * c_row, sum[i][0]);
        store(c + i * c_row + kLanes, sum[i][1]);
    }
}

using Block = void (*)(int64_t, const float *, int64_t, int64_t, const float *, int64_t, float *, int64_t, bool);

template <int... M>
struct Blocks {
    static constexpr Block table[] = {block<M + 1>...};
};
#if defined(__AVX512F__)
using Table = Blocks<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11>;
#else
using Table = Blocks<0, 1, 2, 3, 4, 5>;
#endif

}  // namespace

void multiply(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, int64_t a_column, const float *b,
              int64_t b_panel, int64_t b_row, float *c, int64_t c_row, bool accumulate) {
    int64_t p = 0;
    do {  // once where k is 0, too: the result is 0 then
        int64_t depth = std::min(kDepth, k - p);
        for (int64_t j = 0; j < n / kPanel; j++)
            for (int64_t i = 0; i < m; i += kRows)
                Table::table[std::min<int64_t>(kRows, m - i) - 1](depth, a + i * a_row + p * a_column, a_row, a_column,
                                                                 b + j * b_panel + p * b_row, b_row,
                                                                 c + i * c_row + j * kPanel, c_row, accumulate || p > 0);
    } while ((p += kDepth) < k);
}

}  // namespace crnn
