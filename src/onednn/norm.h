// Batch norm, ReLU and max pooling of a stage, over channels-last tensors, with their gradient.
//
// The gradient recomputes the normalised value from the convolution's output: nothing else needs to be kept.
#pragma once
#include <vector>

#include "runtime.h"
#include "vectors.h"

namespace crnn {

// Sizes of a stage's convolution output (N, h, w, c), pooled to (N, oh, ow, c). A window's step equals its size, 1 or 2;
// one that hangs over the border is cut.
struct NormSizes {
    int64_t h, w, c;
    int ph, pw;
    int64_t oh() const { return (h + ph - 1) / ph; }
    int64_t ow() const { return (w + pw - 1) / pw; }
    int64_t size() const { return h * w * c; }           // of one image before pooling
    int64_t pooled() const { return oh() * ow() * c; }  // and after it
};

// Count, mean and summed squares of deviation of every channel, in double precision.
struct Moments {
    double count = 0;
    std::vector<double> mean, square;
    explicit Moments(int64_t c) : mean(c, 0.0), square(c, 0.0) {}
};

// What normalises a channel: x * scale + shift == (x - mean) * rstd * gamma + beta.
struct Affine {
    std::vector<float> scale, shift;
    Affine(int64_t c, const float *gamma, const float *beta, const float *mean, const float *rstd);
};

// Sums that the gradient needs: of dz, and of dz * (x - mean); dz is the gradient before the ReLU.
struct GradientSums {
    std::vector<double> sum, product;
    explicit GradientSums(int64_t c) : sum(c, 0.0), product(c, 0.0) {}
};

// The tensors of the calls below are n images; T is float or bfloat16.
template <typename T>
void add_moments(const NormSizes &z, int64_t n, const T *x, Moments &moments);
template <typename T>
void activate(const NormSizes &z, int64_t n, const T *x, const Affine &affine, T *y);
template <typename T>
void add_gradient_sums(const NormSizes &z, int64_t n, const T *x, const T *dy, const Affine &affine, const float *mean,
                       GradientSums &sums);
// dx = scale * dz - k2 - k3 * (x - mean)
template <typename T>
void norm_gradient(const NormSizes &z, int64_t n, const T *x, const T *dy, const Affine &affine, const float *mean,
                   const float *k2, const float *k3, T *dx);

}  // namespace crnn
