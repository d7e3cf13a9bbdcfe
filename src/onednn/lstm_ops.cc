// Bidirectional LSTM layer, forward and gradient, from zero states; gates in the order input, forget, cell, output.
//
// All tensors are float32, weights as in nn.LSTM: (4 H, I), (4 H, H).
#include <cstring>

#include "runtime.h"

using namespace crnn;

namespace {

struct Sizes {
    int64_t t, n, i, h;
    Dims key() const { return {t, n, i, h}; }
    Dims x() const { return {t, n, i}; }
    Dims y() const { return {t, n, 2 * h}; }
    Dims state() const { return {1, 2, n, h}; }
    Dims w(int64_t in) const { return {1, 2, in, 4, h}; }  // layer, direction, input, gate, output
    Dims bias() const { return {1, 2, 4, h}; }
    Layout given_w(int64_t in) const { return Layout::strided(w(in), kF32, {8 * h * in, 4 * h * in, 1, h * in, in}); }
};

struct Lstm {
    Primitive forward, backward;
    Reorder x, y, h, c, w_ih, w_hh;                           // forward
    Reorder b_x, b_y, b_h, b_c, b_w_ih, b_w_hh, dy, dh, dc;  // inputs of the gradient
    Reorder dx, dw_ih, dw_hh;                                 // its outputs
    size_t workspace = 0;
};

Lstm make(const Sizes &z) {
    Lstm l;
    dnnl_primitive_desc *d = nullptr;
    Layout x = Layout::any(z.x(), kF32), y = Layout::any(z.y(), kF32), h = Layout::any(z.state(), kF32);
    Layout c = h, bias = Layout::dense(z.bias(), kF32);
    Layout wi = Layout::any(z.w(z.i), kF32), wh = Layout::any(z.w(z.h), kF32);
    check(dnnl_lstm_forward_primitive_desc_create(&d, engine(), kForwardTraining, kBidirectionalConcat, x.get(),
                                                  nullptr, nullptr, wi.get(), wh.get(), nullptr, nullptr, bias.get(),
                                                  y.get(), h.get(), c.get(), 0, attributes()),
          "LSTM");
    l.forward = Primitive(d);
    check(dnnl_lstm_backward_primitive_desc_create(
                  &d, engine(), kBackward, kBidirectionalConcat, x.get(), nullptr, nullptr, wi.get(), wh.get(), nullptr,
                  nullptr, bias.get(), y.get(), h.get(), c.get(), x.get(), nullptr, nullptr, wi.get(), wh.get(),
                  nullptr, nullptr, bias.get(), y.get(), h.get(), c.get(), 0, l.forward.description(), attributes()),
          "LSTM gradient");
    l.backward = Primitive(d);
    Layout gx = Layout::dense(z.x(), kF32), gy = Layout::dense(z.y(), kF32), gs = Layout::dense(z.state(), kF32);
    Layout gwi = z.given_w(z.i), gwh = z.given_w(z.h);
    const Primitive &f = l.forward, &b = l.backward;
    l.x = Reorder(gx, f.layout(kArgSrc));
    l.w_ih = Reorder(gwi, f.layout(kArgWeights));
    l.w_hh = Reorder(gwh, f.layout(kArgWeights + 1));
    l.y = Reorder(f.layout(kArgDst), gy);
    l.h = Reorder(f.layout(kArgDst + 1), gs);
    l.c = Reorder(f.layout(kArgDst + 2), gs);
    l.b_x = Reorder(gx, b.layout(kArgSrc));
    l.b_y = Reorder(gy, b.layout(kArgDst));
    l.b_h = Reorder(gs, b.layout(kArgDst + 1));
    l.b_c = Reorder(gs, b.layout(kArgDst + 2));
    l.b_w_ih = Reorder(gwi, b.layout(kArgWeights));
    l.b_w_hh = Reorder(gwh, b.layout(kArgWeights + 1));
    l.dy = Reorder(gy, b.layout(kArgDiff + kArgDst));
    l.dh = Reorder(gs, b.layout(kArgDiff + kArgDst + 1));
    l.dc = Reorder(gs, b.layout(kArgDiff + kArgDst + 2));
    l.dx = Reorder(b.layout(kArgDiff + kArgSrc), gx);
    l.dw_ih = Reorder(b.layout(kArgDiff + kArgWeights), gwi);
    l.dw_hh = Reorder(b.layout(kArgDiff + kArgWeights + 1), gwh);
    l.workspace = f.layout(kArgWorkspace).bytes();
    return l;
}

Lstm &get(const Sizes &z) {
    return cached<Lstm>(z.key(), [&] { return make(z); });
}

Sizes sizes(const Arguments &a) { return {a.shape(0)[0], a.shape(0)[1], a.shape(0)[2], a.shape(2)[1]}; }

constexpr size_t kFloat = sizeof(float);

// The two directions' tensors one after the other.
const float *joined(const float *first, const float *second, int64_t size, Slot slot) {
    float *both = static_cast<float *>(scratch(slot, 2 * size * kFloat));
    std::memcpy(both, first, size * kFloat);
    std::memcpy(both + size, second, size * kFloat);
    return both;
}

// oneDNN has one bias where nn.LSTM has two that are added.
std::vector<float> joined_bias(const Arguments &a, int64_t h) {
    std::vector<float> bias(8 * h);
    for (int direction = 0; direction < 2; direction++) {
        const float *ih = a.at<float>(3 + 4 * direction), *hh = a.at<float>(4 + 4 * direction);
        for (int64_t k = 0; k < 4 * h; k++) bias[direction * 4 * h + k] = ih[k] + hh[k];
    }
    return bias;
}

}  // namespace

extern "C" int64_t crnn_lstm_workspace(int64_t t, int64_t n, int64_t i, int64_t h) {
    int64_t bytes = -1;
    guarded("crnn_lstm_workspace", [&] { bytes = int64_t(get(Sizes{t, n, i, h}).workspace); });
    return bytes;
}

// x, (w_ih, w_hh, b_ih, b_hh) forwards, the same backwards in time
// -> y (T, N, 2 H), h (2, N, H), c (2, N, H), workspace
CRNN_OPERATOR(crnn_lstm_forward) {
    a.expect(13);
    Sizes z = sizes(a);
    Lstm &l = get(z);
    const void *w_ih = joined(a.at<float>(1), a.at<float>(5), 4 * z.h * z.i, kSlotState);
    const void *w_hh = joined(a.at<float>(2), a.at<float>(6), 4 * z.h * z.h, kSlotState2);
    std::vector<float> bias = joined_bias(a, z.h);
    w_ih = l.w_ih.into(w_ih, kSlotWeights);
    w_hh = l.w_hh.into(w_hh, kSlotWeights2);
    const void *x = l.x.into(a.at<void>(0), kSlotInput);
    void *y = l.y.target(a.at<void>(9), kSlotOutput), *h = l.h.target(a.at<void>(10), kSlotDiff);
    void *c = l.c.target(a.at<void>(11), kSlotDiff2);
    l.forward.run({{kArgSrc, x}, {kArgWeights, w_ih}, {kArgWeights + 1, w_hh}, {kArgBias, bias.data()}, {kArgDst, y},
                   {kArgDst + 1, h}, {kArgDst + 2, c}, {kArgWorkspace, a.at<void>(12)}});
    l.y.finish(y, a.at<void>(9));
    l.h.finish(h, a.at<void>(10));
    l.c.finish(c, a.at<void>(11));
}

// the 9 inputs of the forward operator, its 4 outputs, dy, dh, dc
// -> dx, dw_ih, dw_hh, dbias forwards, dw_ih, dw_hh, dbias backwards in time
CRNN_OPERATOR(crnn_lstm_backward) {
    a.expect(23);
    Sizes z = sizes(a);
    Lstm &l = get(z);
    int64_t size_ih = 4 * z.h * z.i, size_hh = 4 * z.h * z.h, size_b = 4 * z.h;
    const void *w_ih = joined(a.at<float>(1), a.at<float>(5), size_ih, kSlotState);
    const void *w_hh = joined(a.at<float>(2), a.at<float>(6), size_hh, kSlotState2);
    std::vector<float> bias = joined_bias(a, z.h), dbias(2 * size_b, 0.0f);
    w_ih = l.b_w_ih.into(w_ih, kSlotWeights);
    w_hh = l.b_w_hh.into(w_hh, kSlotWeights2);
    const void *x = l.b_x.into(a.at<void>(0), kSlotInput), *y = l.b_y.into(a.at<void>(9), kSlotOutput);
    const void *h = l.b_h.into(a.at<void>(10), kSlotDiff), *c = l.b_c.into(a.at<void>(11), kSlotDiff2);
    const void *dy = l.dy.into(a.at<void>(13), kSlotDiff3), *dh = l.dh.into(a.at<void>(14), kSlotDiff4);
    const void *dc = l.dc.into(a.at<void>(15), kSlotDiff5);
    // The gradients of the weights are added to what is there. Both steps below may be one and the same memory.
    void *all_ih = scratch(kSlotState3, 2 * size_ih * kFloat), *all_hh = scratch(kSlotState4, 2 * size_hh * kFloat);
    void *dw_ih = l.dw_ih.target(all_ih, kSlotWeights3), *dw_hh = l.dw_hh.target(all_hh, kSlotWeights4);
    std::memset(dw_ih, 0, l.backward.layout(kArgDiff + kArgWeights).bytes());
    std::memset(dw_hh, 0, l.backward.layout(kArgDiff + kArgWeights + 1).bytes());
    void *dx = l.dx.target(a.at<void>(16), kSlotDiff6);
    l.backward.run({{kArgSrc, x}, {kArgWeights, w_ih}, {kArgWeights + 1, w_hh}, {kArgBias, bias.data()}, {kArgDst, y},
                    {kArgDst + 1, h}, {kArgDst + 2, c}, {kArgWorkspace, a.at<void>(12)}, {kArgDiff + kArgSrc, dx},
                    {kArgDiff + kArgWeights, dw_ih}, {kArgDiff + kArgWeights + 1, dw_hh},
                    {kArgDiff + kArgBias, dbias.data()}, {kArgDiff + kArgDst, dy}, {kArgDiff + kArgDst + 1, dh},
                    {kArgDiff + kArgDst + 2, dc}});
    l.dx.finish(dx, a.at<void>(16));
    l.dw_ih.finish(dw_ih, all_ih);
    l.dw_hh.finish(dw_hh, all_hh);
    for (int direction = 0; direction < 2; direction++) {
        int out = 17 + 3 * direction;
        std::memcpy(a.at<void>(out), static_cast<float *>(all_ih) + direction * size_ih, size_ih * kFloat);
        std::memcpy(a.at<void>(out + 1), static_cast<float *>(all_hh) + direction * size_hh, size_hh * kFloat);
        std::memcpy(a.at<void>(out + 2), dbias.data() + direction * size_b, size_b * kFloat);
    }
}
