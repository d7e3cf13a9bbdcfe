// Convolution by oneDNN's own kernels: forward and both gradients, float32 or bfloat16, over channels-last or plain tensors.
//
// Settings (floats): stride h, w; padding top, left, bottom, right; dilation h, w; input plain, output plain,
// compute in bfloat16. "Plain" tensors are float32 (N, C, H, W), as everywhere in the network; the others are
// (N, H, W, C) in the compute type, which is what oneDNN's fast kernels read and write without a copy.
#pragma once
#include "runtime.h"

namespace crnn {

enum ConvolutionPart { kForward, kData, kWeights };

struct Geometry {
    Dims x, w, y;  // (N, C, H, W), (O, C / groups, kh, kw), (N, O, OH, OW)
    Dims stride, dilation, begin, end;
    bool x_plain, y_plain;
    int type;

    // The two tensors may be given in either layout.
    Geometry(const Dims &x_shape, const Dims &w_shape, const float *s) {
        stride = {int64_t(s[0]), int64_t(s[1])};
        begin = {int64_t(s[2]), int64_t(s[3])};
        end = {int64_t(s[4]), int64_t(s[5])};
        dilation = {int64_t(s[6]) - 1, int64_t(s[7]) - 1};
        x_plain = s[8] != 0;
        y_plain = s[9] != 0;
        type = s[10] != 0 ? kBf16 : kF32;
        x = x_plain ? x_shape : Dims{x_shape[0], x_shape[3], x_shape[1], x_shape[2]};
        w = w_shape;
        y = {x[0], w[0], 0, 0};
        for (int i = 0; i < 2; i++) {
            int64_t reach = (w[2 + i] - 1) * (dilation[i] + 1) + 1;
            y[2 + i] = (x[2 + i] + begin[i] + end[i] - reach) / stride[i] + 1;
        }
    }

    static Layout work(const Dims &d, int type) {  // channels last
        return Layout::strided(d, type, {d[1] * d[2] * d[3], 1, d[3] * d[1], d[1]});
    }
    Layout work_x() const { return work(x, type); }
    Layout work_y() const { return work(y, type); }
    Layout given_x() const { return x_plain ? Layout::dense(x, kF32) : work_x(); }
    Layout given_y() const { return y_plain ? Layout::dense(y, kF32) : work_y(); }
    Layout given_w() const { return Layout::dense(w, kF32); }

    Dims key(ConvolutionPart direction) const {
        Dims k{direction, type, x_plain, y_plain};
        for (const Dims *d : {&x, &w, &stride, &dilation, &begin, &end}) k.insert(k.end(), d->begin(), d->end());
        return k;
    }
};

struct Convolution {
    Primitive primitive;
    Reorder first, second, result;  // the two inputs and the output of this direction
};

// The primitive of a shape, kept for its next use.
Convolution &convolution(const Geometry &g, ConvolutionPart direction);

}  // namespace crnn
