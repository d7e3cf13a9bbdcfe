// 3x3 convolutions with a border of one zero, by Winograd's F(2x2, 3x3) (Lavin and Gray, arXiv 1509.09308): 16 products
// for four outputs where the definition takes 36. In float32 rounding errors are no larger than the definition's. In
// bfloat16 the transforms compute in float32, and their results are rounded once, before the products.
//
// A tile of four outputs reads 4x4 inputs. Inputs, weights and outputs are each turned into 16 values, at which the
// convolution is an ordinary matrix product (tiles x channels) (channels x outputs). The gradients are the same three
// steps transposed.
#pragma once
#include "gemm.h"
#include "runtime.h"

namespace crnn {

// One convolution of c to o channels, both multiples of kPanel, over images (n, h, w, c) of T: float, or bfloat16 where
// CRNN_BF16.
template <typename T>
struct Winograd {
    int64_t h, w, c, o;

    int64_t tiles() const { return ((h + 1) / 2) * ((w + 1) / 2); }
    // Bytes of an image's transform and of its products.
    int64_t image_bytes() const { return 16 * tiles() * (c * int64_t(sizeof(T)) + o * 4); }
    size_t packed_bytes() const { return 16 * size_t(plane(c * o)) * sizeof(float); }  // of weights, and their gradient

    // Weights (o, c, 3, 3) as the products want them: for the forward direction and for the gradient of the images.
    void pack(const float *weights, void *packed) const;
    void pack_transposed(const float *weights, void *packed) const;
    void forward(int64_t n, const T *x, const void *packed, T *y) const;
    // Adds to the (packed) gradient of the weights; dx may be null.
    void backward(int64_t n, const T *x, const T *dy, const void *transposed, float *dpacked, T *dx) const;
    void unpack_gradient(const float *dpacked, float *dweights) const;

  private:
    using Element = typename Factor<T>::type;
    static constexpr int kValues = Factor<T>::kValues;

    // Values from one of the 16 planes to the next: an odd number of cache lines, or all of them would fall on the same
    // few lines of the cache.
    static int64_t plane(int64_t values) { return (values + 63) / 64 * 64 + 32; }
    int64_t rows(int64_t n) const { return (n * tiles() + kValues - 1) / kValues * kValues; }  // whole pairs of tiles

    void transform(int64_t n, const T *x, T *out) const;
    void transform_gradient(int64_t n, const T *dy, T *out) const;
    void outputs(int64_t n, const float *products, T *y) const;
    void input_gradient(int64_t n, const float *products, T *dx) const;
};

}  // namespace crnn
