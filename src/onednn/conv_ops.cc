// Convolution: forward and both gradients, float32 or bfloat16, over channels-last or plain tensors.
//
// Settings (float32 tensor): stride h, w; padding top, left, bottom, right; dilation h, w; input plain, output plain,
// compute in bfloat16. "Plain" tensors are float32 (N, C, H, W), as everywhere in the network; the others are
// (N, H, W, C) in the compute type, which is what oneDNN's fast kernels read and write without a copy.
#include "runtime.h"

using namespace crnn;

namespace {

enum { kForward, kData, kWeights };

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

    Dims key(int direction) const {
        Dims k{direction, type, x_plain, y_plain};
        for (const Dims *d : {&x, &w, &stride, &dilation, &begin, &end}) k.insert(k.end(), d->begin(), d->end());
        return k;
    }
};

struct Convolution {
    Primitive primitive;
    Reorder first, second, result;  // the two inputs and the output of this direction
};

dnnl_primitive_desc *forward_description(const Geometry &g) {
    dnnl_primitive_desc *d = nullptr;
    check(dnnl_convolution_forward_primitive_desc_create(
                  &d, engine(), kForwardTraining, kDirect, g.work_x().get(), Layout::any(g.w, g.type).get(), nullptr,
                  g.work_y().get(), g.stride.data(), g.dilation.data(), g.begin.data(), g.end.data(), attributes()),
          "convolution");
    return d;
}

Convolution make(const Geometry &g, int direction) {
    Convolution c;
    Primitive forward(forward_description(g));
    if (direction == kForward) {
        c.primitive = forward;
        c.first = Reorder(g.given_x(), g.work_x());
        c.second = Reorder(g.given_w(), forward.layout(kArgWeights));
        c.result = Reorder(g.work_y(), g.given_y());
        return c;
    }
    dnnl_primitive_desc *d = nullptr;
    if (direction == kData) {
        check(dnnl_convolution_backward_data_primitive_desc_create(
                      &d, engine(), kDirect, g.work_x().get(), Layout::any(g.w, g.type).get(), g.work_y().get(),
                      g.stride.data(), g.dilation.data(), g.begin.data(), g.end.data(), forward.description(),
                      attributes()),
              "convolution gradient");
        c.primitive = Primitive(d);
        c.first = Reorder(g.given_y(), g.work_y());
        c.second = Reorder(g.given_w(), c.primitive.layout(kArgWeights));
        c.result = Reorder(g.work_x(), g.given_x());
        return c;
    }
    check(dnnl_convolution_backward_weights_primitive_desc_create(
                  &d, engine(), kDirect, g.work_x().get(), Layout::any(g.w, kF32).get(), nullptr, g.work_y().get(),
                  g.stride.data(), g.dilation.data(), g.begin.data(), g.end.data(), forward.description(),
                  attributes()),
          "convolution weight gradient");
    c.primitive = Primitive(d);
    c.first = Reorder(g.given_x(), g.work_x());
    c.second = Reorder(g.given_y(), g.work_y());
    c.result = Reorder(c.primitive.layout(kArgDiff + kArgWeights), g.given_w());
    return c;
}

Convolution &get(const Geometry &g, int direction) {
    return cached<Convolution>(g.key(direction), [&] { return make(g, direction); });
}

}  // namespace

// x, w, settings -> y
CRNN_OPERATOR(crnn_conv_forward) {
    a.expect(4);
    Convolution &c = get(Geometry(a.shape(0), a.shape(1), a.at<float>(2)), kForward);
    const void *x = c.first.into(a.at<void>(0), kSlotInput), *w = c.second.into(a.at<void>(1), kSlotWeights);
    void *y = c.result.target(a.at<void>(3), kSlotOutput);
    c.primitive.run({{kArgSrc, x}, {kArgWeights, w}, {kArgDst, y}});
    c.result.finish(y, a.at<void>(3));
}

// dy, w, x (only its shape is used), settings -> dx
CRNN_OPERATOR(crnn_conv_backward_data) {
    a.expect(5);
    Convolution &c = get(Geometry(a.shape(2), a.shape(1), a.at<float>(3)), kData);
    const void *dy = c.first.into(a.at<void>(0), kSlotInput), *w = c.second.into(a.at<void>(1), kSlotWeights);
    void *dx = c.result.target(a.at<void>(4), kSlotOutput);
    c.primitive.run({{kArgDiff + kArgDst, dy}, {kArgWeights, w}, {kArgDiff + kArgSrc, dx}});
    c.result.finish(dx, a.at<void>(4));
}

// x, dy, w (only its shape is used), settings -> dw
CRNN_OPERATOR(crnn_conv_backward_weights) {
    a.expect(5);
    Convolution &c = get(Geometry(a.shape(0), a.shape(2), a.at<float>(3)), kWeights);
    const void *x = c.first.into(a.at<void>(0), kSlotInput), *dy = c.second.into(a.at<void>(1), kSlotOutput);
    void *dw = c.result.target(a.at<void>(4), kSlotWeights);
    c.primitive.run({{kArgSrc, x}, {kArgDiff + kArgDst, dy}, {kArgDiff + kArgWeights, dw}});
    c.result.finish(dw, a.at<void>(4));
}
