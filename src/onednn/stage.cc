#include "stage.h"

#include <algorithm>
#include <cstring>

#include "conv.h"
#include "gemm.h"
#include "winograd.h"

namespace crnn {
namespace {

constexpr int64_t kCache = 8 << 20;  // bytes of one chunk's products: they should stay in the last cache

template <typename T>
class WinogradStage : public StageConvolution<T> {
  public:
    explicit WinogradStage(const StageSizes &s) : w_{s.h, s.w, s.c, s.o} {}
    int64_t chunk(int64_t n) const override { return std::min(n, std::max<int64_t>(1, kCache / w_.image_bytes())); }
    size_t packed_bytes() const override { return w_.packed_bytes(); }
    void pack(const float *weights, void *packed) const override { w_.pack(weights, packed); }
    void pack_transposed(const float *weights, void *packed) const override { w_.pack_transposed(weights, packed); }
    void forward(int64_t n, const void *x, const void *packed, T *y) const override {
        w_.forward(n, static_cast<const T *>(x), packed, y);
    }
    void backward(int64_t n, const void *x, const T *dy, const void *transposed, void *dpacked, T *dx) const override {
        w_.backward(n, static_cast<const T *>(x), dy, transposed, static_cast<float *>(dpacked), dx);
    }
    void unpack_gradient(const void *dpacked, float *dweights) const override {
        w_.unpack_gradient(static_cast<const float *>(dpacked), dweights);
    }

  private:
    Winograd<T> w_;
};

// Few input channels, plain images: rows of patches are laid out and multiplied with the weights.
class PatchStage : public StageConvolution<float> {
  public:
    explicit PatchStage(const StageSizes &s) : s_(s), k_(s.c * s.kernel * s.kernel) {}
    int64_t chunk(int64_t n) const override { return std::min<int64_t>(n, std::max(4, thread_count())); }
    size_t packed_bytes() const override { return size_t(s_.weights()) * sizeof(float); }
    void pack(const float *weights, void *packed) const override {
        float *to = static_cast<float *>(packed);
        for (int64_t o = 0; o < s_.o; o++)
            for (int64_t k = 0; k < k_; k++)
                to[(o / kPanel * k_ + k) * kPanel + o % kPanel] = weights[o * k_ + k];
    }
    void pack_transposed(const float *, void *) const override {}
    void forward(int64_t n, const void *x, const void *packed, float *y) const override {
        Timed timed("products");
        parallel(int(n * s_.oh()), [&](int job) {
            std::vector<float> patches(s_.ow() * k_);
            lay_out(static_cast<const float *>(x), job, patches.data());
            multiply(s_.ow(), s_.o, k_, patches.data(), k_, 1, static_cast<const float *>(packed), k_ * kPanel, kPanel,
                     y + job * s_.ow() * s_.o, s_.o, false);
        });
    }
    void backward(int64_t n, const void *x, const float *dy, const void *, void *dpacked, float *dx) const override {
        Timed timed("products");
        if (dx) throw std::runtime_error("the first stage hands no gradient on");
        std::vector<float> sums(n * k_ * s_.o, 0.0f);
        parallel(int(n), [&](int image) {
            std::vector<float> patches(s_.ow() * k_);
            for (int64_t row = 0; row < s_.oh(); row++) {
                lay_out(static_cast<const float *>(x), image * s_.oh() + row, patches.data());
                multiply(k_, s_.o, s_.ow(), patches.data(), 1, k_, dy + (image * s_.oh() + row) * s_.ow() * s_.o, kPanel,
                         s_.o, sums.data() + image * k_ * s_.o, s_.o, true);
            }
        });
        float *to = static_cast<float *>(dpacked);
        for (int64_t i = 0; i < k_ * s_.o; i++) {
            double sum = to[i];
            for (int64_t image = 0; image < n; image++) sum += sums[image * k_ * s_.o + i];
            to[i] = static_cast<float>(sum);
        }
    }
    void unpack_gradient(const void *dpacked, float *dweights) const override {
        Timed timed("weights packed");
        const float *from = static_cast<const float *>(dpacked);
        for (int64_t o = 0; o < s_.o; o++)
            for (int64_t k = 0; k < k_; k++) dweights[o * k_ + k] = from[k * s_.o + o];
    }

  private:
    // The patches of one row of outputs, (ow, c * kernel * kernel); `row` counts over all images.
    void lay_out(const float *x, int64_t row, float *patches) const {
        const float *image = x + row / s_.oh() * s_.input();
        int64_t top = row % s_.oh() - s_.pad, k = 0;
        for (int64_t c = 0; c < s_.c; c++)
            for (int64_t r = 0; r < s_.kernel; r++)
                for (int64_t s = 0; s < s_.kernel; s++, k++) {
                    int64_t y = top + r, left = s - s_.pad;
                    const float *line = y < 0 || y >= s_.h ? nullptr : image + (c * s_.h + y) * s_.w;
                    for (int64_t j = 0; j < s_.ow(); j++)
                        patches[j * k_ + k] = !line || j + left < 0 || j + left >= s_.w ? 0.0f : line[j + left];
                }
    }

    StageSizes s_;
    int64_t k_;
};

// No border: the taps of a kernel row lie next to each other, so that every row of it is one product.
class ValidStage : public StageConvolution<float> {
  public:
    explicit ValidStage(const StageSizes &s) : s_(s), row_(s.kernel * s.c) {}
    int64_t chunk(int64_t n) const override { return std::min<int64_t>(n, 16); }
    size_t packed_bytes() const override { return size_t(s_.weights()) * sizeof(float); }
    // panels of outputs, in each of them (kernel row, kernel column, input channel)
    void pack(const float *weights, void *packed) const override {
        Timed timed("weights packed");
        float *to = static_cast<float *>(packed);
        int64_t depth = s_.kernel * row_, area = s_.kernel * s_.kernel;
        parallel(int(s_.o / kPanel), [&](int panel) {
            for (int64_t t = 0; t < area; t++)
                for (int64_t c = 0; c < s_.c; c++)
                    for (int l = 0; l < kPanel; l++)
                        to[(panel * depth + t * s_.c + c) * kPanel + l] =
                            weights[((panel * kPanel + l) * s_.c + c) * area + t];
        });
    }
    // panels of input channels, in each of them (kernel row, kernel column, output)
    void pack_transposed(const float *weights, void *packed) const override {
        Timed timed("weights packed");
        float *to = static_cast<float *>(packed);
        int64_t area = s_.kernel * s_.kernel;
        parallel(int(s_.c / kPanel), [&](int panel) {
            for (int64_t t = 0; t < area; t++)
                for (int64_t o = 0; o < s_.o; o++)
                    for (int l = 0; l < kPanel; l++)
                        to[((panel * area + t) * s_.o + o) * kPanel + l] =
                            weights[(o * s_.c + panel * kPanel + l) * area + t];
        });
    }
    void forward(int64_t n, const void *x, const void *packed, float *y) const override {
        Timed timed("products");
        int64_t depth = s_.kernel * row_;
        parallel(int(s_.o / kPanel), [&](int panel) {
            for (int64_t i = 0; i < n * s_.oh(); i++)
                for (int64_t r = 0; r < s_.kernel; r++)
                    multiply(s_.ow(), kPanel, row_, static_cast<const float *>(x) + input_row(i, r), s_.c, 1,
                             static_cast<const float *>(packed) + (panel * depth + r * row_) * kPanel, 0, kPanel,
                             y + i * s_.ow() * s_.o + panel * kPanel, s_.o, r > 0);
        });
    }
    void backward(int64_t n, const void *x, const float *dy, const void *transposed, void *dpacked,
                  float *dx) const override {
        Timed timed("products");
        int64_t rows = n * s_.oh(), line = s_.ow() * s_.o, area = s_.kernel * s_.kernel;
        float *to = static_cast<float *>(dpacked);
        parallel(int(s_.kernel * (s_.o / kPanel)), [&](int job) {
            int64_t r = job % s_.kernel, panel = job / s_.kernel;
            std::vector<float> b(s_.ow() * kPanel);
            for (int64_t i = 0; i < rows; i++) {
                for (int64_t j = 0; j < s_.ow(); j++)
                    std::memcpy(b.data() + j * kPanel, dy + i * line + j * s_.o + panel * kPanel, kPanel * sizeof(float));
                multiply(row_, kPanel, s_.ow(), static_cast<const float *>(x) + input_row(i, r), 1, s_.c, b.data(), 0,
                         kPanel, to + r * row_ * s_.o + panel * kPanel, s_.o, true);
            }
        });
        if (!dx) return;
        std::memset(dx, 0, n * s_.input() * sizeof(float));
        parallel(int(s_.c / kPanel), [&](int panel) {
            for (int64_t i = 0; i < rows; i++)
                for (int64_t t = 0; t < area; t++)
                    multiply(s_.ow(), kPanel, s_.o, dy + i * line, s_.o, 1,
                             static_cast<const float *>(transposed) + (panel * area + t) * s_.o * kPanel, 0, kPanel,
                             dx + input_row(i, t / s_.kernel) + t % s_.kernel * s_.c + panel * kPanel, s_.c, true);
        });
    }
    void unpack_gradient(const void *dpacked, float *dweights) const override {
        Timed timed("weights packed");
        const float *from = static_cast<const float *>(dpacked);
        int64_t area = s_.kernel * s_.kernel;
        parallel(int(s_.o), [&](int o) {
            for (int64_t c = 0; c < s_.c; c++)
                for (int64_t t = 0; t < area; t++)
                    dweights[(o * s_.c + c) * area + t] = from[(t * s_.c + c) * s_.o + o];
        });
    }

  private:
    // Where row r of the input of output row i (counted over all images) begins.
    int64_t input_row(int64_t i, int64_t r) const {
        return (i / s_.oh() * s_.h + i % s_.oh() + r) * s_.w * s_.c;
    }

    StageSizes s_;
    int64_t row_;
};

// oneDNN's kernels, the whole batch at once: their gradient of the weights is not added to what is there.
template <typename T>
class DirectStage : public StageConvolution<T> {
  public:
    DirectStage(const StageSizes &s, int64_t n, bool first, bool bf16)
        : s_(s), n_(n), geometry_(first ? Dims{n, s.c, s.h, s.w} : Dims{n, s.h, s.w, s.c}, {s.o, s.c, s.kernel, s.kernel},
                                  settings(s, first, bf16).data()) {}
    int64_t chunk(int64_t n) const override { return n; }
    size_t packed_bytes() const override {
        return std::max({get(kForward).primitive.layout(kArgWeights).bytes(), get(kData).primitive.layout(kArgWeights).bytes(),
                         get(kWeights).primitive.layout(kArgDiff + kArgWeights).bytes()});
    }
    void pack(const float *weights, void *packed) const override { pack_for(kForward, weights, packed); }
    void pack_transposed(const float *weights, void *packed) const override { pack_for(kData, weights, packed); }
    void forward(int64_t n, const void *x, const void *packed, T *y) const override {
        Timed timed("products");
        expect(n);
        const Convolution &c = get(kForward);
        c.primitive.run({{kArgSrc, c.first.into(x, kSlotImage)}, {kArgWeights, packed}, {kArgDst, y}});
    }
    void backward(int64_t n, const void *x, const T *dy, const void *transposed, void *dpacked, T *dx) const override {
        Timed timed("products");
        expect(n);
        const Convolution &w = get(kWeights);
        w.primitive.run({{kArgSrc, w.first.into(x, kSlotImage)}, {kArgDiff + kArgDst, dy}, {kArgDiff + kArgWeights, dpacked}});
        if (dx) get(kData).primitive.run({{kArgDiff + kArgDst, dy}, {kArgWeights, transposed}, {kArgDiff + kArgSrc, dx}});
    }
    void unpack_gradient(const void *dpacked, float *dweights) const override {
        Timed timed("weights packed");
        const Convolution &c = get(kWeights);
        void *source = c.result.target(dweights, kSlotImage);
        std::memcpy(source, dpacked, c.primitive.layout(kArgDiff + kArgWeights).bytes());
        c.result.finish(source, dweights);
    }

  private:
    static std::vector<float> settings(const StageSizes &s, bool first, bool bf16) {
        float p = float(s.pad);
        return {1, 1, p, p, p, p, 1, 1, float(first), 0, float(bf16)};
    }
    const Convolution &get(ConvolutionPart part) const { return convolution(geometry_, part); }
    void pack_for(ConvolutionPart part, const float *weights, void *packed) const {
        Timed timed("weights packed");
        const Convolution &c = get(part);
        const void *copy = c.second.into(weights, kSlotImage);
        std::memcpy(packed, copy, c.primitive.layout(kArgWeights).bytes());
    }
    void expect(int64_t n) const {
        if (n != n_) throw std::runtime_error("unexpected number of images");
    }

    StageSizes s_;
    int64_t n_;
    Geometry geometry_;
};

}  // namespace

std::unique_ptr<StageConvolution<float>> stage_convolution(const StageSizes &s, int64_t n, bool first, bool direct,
                                                           float) {
    bool panels = s.o % kPanel == 0, fits = panels && s.c % kPanel == 0;
    if (!direct && first && panels) return std::make_unique<PatchStage>(s);
    if (!direct && !first && fits && s.kernel == 3 && s.pad == 1) return std::make_unique<WinogradStage<float>>(s);
    if (!direct && !first && fits && s.pad == 0) return std::make_unique<ValidStage>(s);
    return std::make_unique<DirectStage<float>>(s, n, first, false);
}

std::unique_ptr<StageConvolution<bfloat16>> stage_convolution(const StageSizes &s, int64_t n, bool first, bool direct,
                                                              bfloat16) {
#if CRNN_BF16
    if (!direct && !first && s.o % kPanel == 0 && s.c % kPanel == 0 && s.kernel == 3 && s.pad == 1)
        return std::make_unique<WinogradStage<bfloat16>>(s);
#else
    (void)direct;
#endif
    return std::make_unique<DirectStage<bfloat16>>(s, n, first, true);
}

}  // namespace crnn
