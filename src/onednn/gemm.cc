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

inline Vector spread(const float *a) { return *a - Vector{}; }  // subtracting 0 costs nothing, adding it does (-0)
inline void add_product(Vector &sum, Vector a, Vector b) { sum += a * b; }
#if CRNN_BF16
inline Pairs spread(const Pair *a) { return Pairs{} + a->bits; }
inline void add_product(Vector &sum, Pairs a, Pairs b) {
    sum = (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}
#endif

template <typename E, int M>
void block(int64_t k, const E *a, int64_t a_row, int64_t a_column, const E *b, int64_t b_row, float *c, int64_t c_row,
           bool accumulate) {
    Vector sum[M][2];
    for (int i = 0; i < M; i++) {
        sum[i][0] = accumulate ? load(c + i * c_row) : Vector{};
        sum[i][1] = accumulate ? load(c + i * c_row + kLanes) : Vector{};
    }
    for (int64_t p = 0; p < k; p++, a += a_column, b += b_row) {
        auto left = load(b), right = load(b + kLanes);
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) {
            auto x = spread(a + i * a_row);
            add_product(sum[i][0], x, left);
            add_product(sum[i][1], x, right);
        }
    }
    for (int i = 0; i < M; i++) {
        store(c + i * c_row, sum[i][0]);
        store(c + i * c_row + kLanes, sum[i][1]);
    }
}

template <typename E>
using Block = void (*)(int64_t, const E *, int64_t, int64_t, const E *, int64_t, float *, int64_t, bool);

template <typename E, int... M>
struct Blocks {
    static constexpr Block<E> table[] = {block<E, M + 1>...};
};
#if defined(__AVX512F__)
template <typename E>
using Table = Blocks<E, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11>;
#else
template <typename E>
using Table = Blocks<E, 0, 1, 2, 3, 4, 5>;
#endif

template <typename E>
void multiply_elements(int64_t m, int64_t n, int64_t k, const E *a, int64_t a_row, int64_t a_column, const E *b,
                       int64_t b_panel, int64_t b_row, float *c, int64_t c_row, bool accumulate) {
    int64_t p = 0;
    do {  // once where k is 0, too: the result is 0 then
        int64_t depth = std::min(kDepth, k - p);
        for (int64_t j = 0; j < n / kPanel; j++)
            for (int64_t i = 0; i < m; i += kRows)
                Table<E>::table[std::min<int64_t>(kRows, m - i) - 1](
                    depth, a + i * a_row + p * a_column, a_row, a_column, b + j * b_panel + p * b_row, b_row,
                    c + i * c_row + j * kPanel, c_row, accumulate || p > 0);
    } while ((p += kDepth) < k);
}

}  // namespace

void multiply(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, int64_t a_column, const float *b,
              int64_t b_panel, int64_t b_row, float *c, int64_t c_row, bool accumulate) {
    multiply_elements(m, n, k, a, a_row, a_column, b, b_panel, b_row, c, c_row, accumulate);
}

#if CRNN_BF16
void multiply(int64_t m, int64_t n, int64_t k, const Pair *a, int64_t a_row, int64_t a_column, const Pair *b,
              int64_t b_panel, int64_t b_row, float *c, int64_t c_row, bool accumulate) {
    multiply_elements(m, n, k, a, a_row, a_column, b, b_panel, b_row, c, c_row, accumulate);
}
#endif

}  // namespace crnn
