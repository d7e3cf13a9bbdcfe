// A stage of the feature extractor: its convolution, over channels-last images, in one of several ways.
#pragma once
#include <memory>

#include "norm.h"

namespace crnn {

// Sizes of a stage; the convolution has step 1 and `pad` zeros on every side, what follows it is in `norm`.
struct StageSizes {
    int64_t c, h, w;   // of its input
    int64_t o, kernel, pad;
    int pool_h, pool_w;
    int64_t oh() const { return h + 2 * pad - kernel + 1; }
    int64_t ow() const { return w + 2 * pad - kernel + 1; }
    int64_t input() const { return c * h * w; }
    int64_t weights() const { return o * c * kernel * kernel; }
    NormSizes norm() const { return {oh(), ow(), o, pool_h, pool_w}; }
};

// The convolution of a stage, from n images of T to n images of T (float or bfloat16). Weights are packed for the
// kernels first; the gradient of the weights is collected in a layout of its own and unpacked at the end. The first
// stage reads plain float32 images (n, c, h, w), the others channels-last ones.
template <typename T>
class StageConvolution {
  public:
    virtual ~StageConvolution() = default;
    virtual int64_t chunk(int64_t n) const = 0;      // how many of n images are best handled at a time
    virtual size_t packed_bytes() const = 0;         // of weights in either layout, and of their gradient
    virtual void pack(const float *weights, void *packed) const = 0;
    virtual void pack_transposed(const float *weights, void *packed) const = 0;
    virtual void forward(int64_t n, const void *x, const void *packed, T *y) const = 0;
    // Adds to the gradient of the weights; dx may be null.
    virtual void backward(int64_t n, const void *x, const T *dy, const void *transposed, void *dpacked, T *dx) const = 0;
    virtual void unpack_gradient(const void *dpacked, float *dweights) const = 0;
};

// n: the batch. `direct` asks for oneDNN's own kernels, which bfloat16 always has.
std::unique_ptr<StageConvolution<float>> stage_convolution(const StageSizes &sizes, int64_t n, bool first, bool direct,
                                                           float);
std::unique_ptr<StageConvolution<bfloat16>> stage_convolution(const StageSizes &sizes, int64_t n, bool first,
                                                              bool direct, bfloat16);

}  // namespace crnn
