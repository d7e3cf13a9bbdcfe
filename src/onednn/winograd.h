// 3x3 convolutions with a border of one zero, by Winograd's F(2x2, 3x3) (Lavin and Gray, arXiv 1509.09308): 16 products
// for four outputs where the definition takes 36. Float32; its rounding errors are no larger than the definition's.
//
// A tile of four outputs reads 4x4 inputs. Inputs, weights and outputs are each turned into 16 values, at which the
// convolution is an ordinary matrix product (tiles x channels) (channels x outputs). The gradients are the same three
// steps transposed.
#pragma once
#include "runtime.h"

namespace crnn {

// One convolution of c to o channels, both multiples of kPanel, over images (n, h, w, c).
struct Winograd {
    int64_t h, w, c, o;

    int64_t tiles() const { return ((h + 1) / 2) * ((w + 1) / 2); }
    size_t packed_size() const { return size_t(16 * c * o); }  // floats of weights, and of their gradient

    // Weights (o, c, 3, 3) as the products want them: for the forward direction and for the gradient of the images.
    void pack(const float *weights, float *packed) const;
    void pack_transposed(const float *weights, float *packed) const;
    void forward(int64_t n, const float *x, const float *packed, float *y) const;
    // Adds to the (packed) gradient of the weights; dx may be null.
    void backward(int64_t n, const float *x, const float *dy, const float *transposed, float *dpacked, float *dx) const;
    void unpack_gradient(const float *dpacked, float *dweights) const;

  private:
    void transform(int64_t n, const float *x, float *out) const;
    void transform_gradient(int64_t n, const float *dy, float *out) const;
    void outputs(int64_t n, const float *products, float *y) const;
    void input_gradient(int64_t n, const float *products, float *dx) const;
};

}  // namespace crnn
