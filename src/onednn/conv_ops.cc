// The convolution operators: one direction each.
#include "conv.h"

using namespace crnn;

namespace {

dnnl_primitive_desc *forward_description(const Geometry &g) {
    dnnl_primitive_desc *d = nullptr;
    check(dnnl_convolution_forward_primitive_desc_create(
                  &d, engine(), kForwardTraining, kDirect, g.work_x().get(), Layout::any(g.w, g.type).get(), nullptr,
                  g.work_y().get(), g.stride.data(), g.dilation.data(), g.begin.data(), g.end.data(), attributes()),
          "convolution");
    return d;
}

Convolution make(const Geometry &g, ConvolutionPart direction) {
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

}  // namespace

Convolution &crnn::convolution(const Geometry &g, ConvolutionPart direction) {
    return cached<Convolution>(g.key(direction), [&] { return make(g, direction); });
}

// x, w, settings -> y
CRNN_OPERATOR(crnn_conv_forward) {
    a.expect(4);
    Convolution &c = convolution(Geometry(a.shape(0), a.shape(1), a.at<float>(2)), kForward);
    const void *x = c.first.into(a.at<void>(0), kSlotInput), *w = c.second.into(a.at<void>(1), kSlotWeights);
    void *y = c.result.target(a.at<void>(3), kSlotOutput);
    c.primitive.run({{kArgSrc, x}, {kArgWeights, w}, {kArgDst, y}});
    c.result.finish(y, a.at<void>(3));
}

// dy, w, x (only its shape is used), settings -> dx
CRNN_OPERATOR(crnn_conv_backward_data) {
    a.expect(5);
    Convolution &c = convolution(Geometry(a.shape(2), a.shape(1), a.at<float>(3)), kData);
    const void *dy = c.first.into(a.at<void>(0), kSlotInput), *w = c.second.into(a.at<void>(1), kSlotWeights);
    void *dx = c.result.target(a.at<void>(4), kSlotOutput);
    c.primitive.run({{kArgDiff + kArgDst, dy}, {kArgWeights, w}, {kArgDiff + kArgSrc, dx}});
    c.result.finish(dx, a.at<void>(4));
}

// x, dy, w (only its shape is used), settings -> dw
CRNN_OPERATOR(crnn_conv_backward_weights) {
    a.expect(5);
    Convolution &c = convolution(Geometry(a.shape(0), a.shape(2), a.at<float>(3)), kWeights);
    const void *x = c.first.into(a.at<void>(0), kSlotInput), *dy = c.second.into(a.at<void>(1), kSlotOutput);
    void *dw = c.result.target(a.at<void>(4), kSlotWeights);
    c.primitive.run({{kArgSrc, x}, {kArgDiff + kArgDst, dy}, {kArgDiff + kArgWeights, dw}});
    c.result.finish(dw, a.at<void>(4));
}
