// Matrix products for operands that our own operators lay out: no packing, no copies. Sums are in float32.
#pragma once
#include "vectors.h"

namespace crnn {

constexpr int kPanel = 2 * kLanes;  // columns of a panel

// c (m x n) = a (m x k) b (k x n), or c += where `accumulate`. Element (i, p) of a is a[i * a_row + p * a_column]; b
// comes in panels of kPanel columns, panel j at b + j * b_panel, its row p at + p * b_row; row i of c at c + i * c_row,
// panel j of it at + j * kPanel. n must be a multiple of kPanel. One thread.
void multiply(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, int64_t a_column, const float *b,
              int64_t b_panel, int64_t b_row, float *c, int64_t c_row, bool accumulate);

#if CRNN_BF16
// The same, where an element of a and b stands for two neighbours along k.
void multiply(int64_t m, int64_t n, int64_t k, const Pair *a, int64_t a_row, int64_t a_column, const Pair *b,
              int64_t b_panel, int64_t b_row, float *c, int64_t c_row, bool accumulate);
#endif

// How products read factors of T: single values of float, pairs of bfloat16.
template <typename T>
struct Factor {
    using type = T;
    static constexpr int kValues = 1;
};
#if CRNN_BF16
template <>
struct Factor<bfloat16> {
    using type = Pair;
    static constexpr int kValues = 2;
};
#endif

// Stores kLanes elements of a factor: of values of one row, or of pairs of two rows' values.
inline void store_factor(float *to, Vector only, Vector) { store(to, only); }
#if CRNN_BF16
inline void store_factor(Pair *to, Vector first, Vector second) { store(to, interleave(first, second)); }
#endif

}  // namespace crnn
