// The whole feature extractor in one operator: stages of convolution, batch norm, ReLU and max pooling.
//
// Between the stages tensors are channels-last, float32 or bfloat16. Only the convolutions' outputs are kept for the
// gradient: activations are computed again, a few images at a time, where they are needed.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "conv.h"
#include "vgg_plan.h"

using namespace crnn;

namespace {

// (n, 1, w, c) of T to and from (n, c, 1, w) of float32: the features are one pixel high.
template <typename T>
void to_plain(const NormSizes &z, int64_t n, const T *x, float *y) {
    int64_t pixels = z.oh() * z.ow();
    parallel(int(n), [&](int image) {
        for (int64_t k = 0; k < z.c; k += kLanes)
            for (int64_t i = 0; i < pixels; i++) {
                Vector v = load(x + (image * pixels + i) * z.c + k);
                for (int l = 0; l < kLanes; l++) y[(image * z.c + k + l) * pixels + i] = v[l];
            }
    });
}

template <typename T>
void from_plain(const NormSizes &z, int64_t n, const float *y, T *x) {
    int64_t pixels = z.oh() * z.ow();
    parallel(int(n), [&](int image) {
        for (int64_t k = 0; k < z.c; k += kLanes)
            for (int64_t i = 0; i < pixels; i++) {
                Vector v;
                for (int l = 0; l < kLanes; l++) v[l] = y[(image * z.c + k + l) * pixels + i];
                store(x + (image * pixels + i) * z.c + k, v);
            }
    });
}

template <typename T>
T *buffer(Slot slot, int64_t elements) {
    return static_cast<T *>(scratch(slot, size_t(elements) * sizeof(T)));
}

// Calls f(first image, images) for all images, in portions.
template <typename F>
void in_chunks(int64_t n, int64_t chunk, const F &f) {
    for (int64_t first = 0; first < n; first += chunk) f(first, std::min(chunk, n - first));
}

template <typename T>
void train_forward(const Tensors &t, float *y, char *kept, float *const *new_mean, float *const *new_variance) {
    const Plan &p = t.plan;
    std::unique_ptr<Affine> before;
    for (size_t i = 0; i < t.stages; i++) {
        timed_prefix = "stage " + std::to_string(i + 1) + ": ";
        const StageSizes &s = p.stages[i];
        NormSizes norm = s.norm();
        auto convolution = stage_convolution(s, p.n, i == 0, p.direct, T());
        void *packed = scratch(kSlotWeights, convolution->packed_bytes());
        convolution->pack(t.weights(i), packed);
        T *z = reinterpret_cast<T *>(kept + p.output_offset(i));
        const T *previous = i ? reinterpret_cast<const T *>(kept + p.output_offset(i - 1)) : nullptr;
        Moments moments(s.o);
        in_chunks(p.n, convolution->chunk(p.n), [&](int64_t first, int64_t n) {
            const void *x = t.image(first);
            if (i) {
                NormSizes source = p.stages[i - 1].norm();
                T *active = buffer<T>(kSlotInput, n * s.input());
                activate(source, n, previous + first * source.size(), *before, active);
                x = active;
            }
            T *out = z + first * norm.size();
            convolution->forward(n, x, packed, out);
            add_moments(norm, n, out, moments);
        });
        float *mean = reinterpret_cast<float *>(kept + p.statistics_offset(i)), *rstd = mean + s.o;
        for (int64_t k = 0; k < s.o; k++) {
            double square = moments.square[k] < 0 ? 0 : moments.square[k];  // this way round a NaN is not lost
            double variance = square / moments.count, unbiased = square / std::max(moments.count - 1, 1.0);
            mean[k] = static_cast<float>(moments.mean[k]);
            rstd[k] = static_cast<float>(1.0 / std::sqrt(variance + p.epsilon));
            new_mean[i][k] = p.momentum * t.running_mean(i)[k] + (1 - p.momentum) * mean[k];
            new_variance[i][k] =
                static_cast<float>(p.momentum * t.running_variance(i)[k] + (1 - p.momentum) * unbiased);
        }
        before = std::make_unique<Affine>(s.o, t.gamma(i), t.beta(i), mean, rstd);
    }
    NormSizes last = p.stages.back().norm();
    T *features = buffer<T>(kSlotOutput, p.n * last.pooled());
    activate(last, p.n, reinterpret_cast<const T *>(kept + p.output_offset(t.stages - 1)), *before, features);
    to_plain(last, p.n, features, y);
}

// Only programs that look at the gradient of the images ask for it.
template <typename T>
void image_gradient(const StageSizes &s, int64_t n, const T *dz, const float *weights, float *dx) {
    float pad = float(s.pad), bf16 = sizeof(T) == 2;
    const float settings[] = {1, 1, pad, pad, pad, pad, 1, 1, 1, 0, bf16};
    Convolution &c = convolution(Geometry({n, s.c, s.h, s.w}, {s.o, s.c, s.kernel, s.kernel}, settings), kData);
    const void *w = c.second.into(weights, kSlotImage);
    void *out = c.result.target(dx, kSlotWinograd);
    c.primitive.run({{kArgDiff + kArgDst, dz}, {kArgWeights, w}, {kArgDiff + kArgSrc, out}});
    c.result.finish(out, dx);
}

// Gradients of all parameters, and of the images where `dx` is given.
template <typename T>
void train_backward(const Tensors &t, const char *kept, const float *dy, float *const *dweights, float *const *dgamma,
                    float *const *dbeta, float *dx) {
    const Plan &p = t.plan;
    Slot slots[2] = {kSlotDiff, kSlotDiff2};
    NormSizes last = p.stages.back().norm();
    T *given = buffer<T>(slots[0], p.n * last.pooled());
    from_plain(last, p.n, dy, given);
    for (size_t i = t.stages; i-- > 0;) {
        timed_prefix = "stage " + std::to_string(i + 1) + " backward: ";
        const StageSizes &s = p.stages[i];
        NormSizes norm = s.norm();
        auto convolution = stage_convolution(s, p.n, i == 0, p.direct, T());
        const T *z = reinterpret_cast<const T *>(kept + p.output_offset(i));
        const float *mean = reinterpret_cast<const float *>(kept + p.statistics_offset(i)), *rstd = mean + s.o;
        Affine affine(s.o, t.gamma(i), t.beta(i), mean, rstd);
        GradientSums sums(s.o);
        add_gradient_sums(norm, p.n, z, given, affine, mean, sums);
        std::vector<float> k2(s.o), k3(s.o);  // the batch's own mean and variance depend on z too
        double count = double(p.n) * norm.h * norm.w;
        for (int64_t k = 0; k < s.o; k++) {
            dbeta[i][k] = static_cast<float>(sums.sum[k]);
            dgamma[i][k] = static_cast<float>(sums.product[k] * rstd[k]);
            k2[k] = static_cast<float>(affine.scale[k] * sums.sum[k] / count);
            k3[k] = static_cast<float>(affine.scale[k] * sums.product[k] * rstd[k] * rstd[k] / count);
        }
        void *transposed = scratch(kSlotWeights, convolution->packed_bytes());
        void *dpacked = scratch(kSlotWeights2, convolution->packed_bytes());
        if (i) convolution->pack_transposed(t.weights(i), transposed);
        std::memset(dpacked, 0, convolution->packed_bytes());
        T *handed = i ? buffer<T>(slots[(t.stages - i) % 2], p.n * s.input()) : nullptr;
        std::unique_ptr<Affine> before;
        if (i) {
            const float *m = reinterpret_cast<const float *>(kept + p.statistics_offset(i - 1));
            before = std::make_unique<Affine>(s.c, t.gamma(i - 1), t.beta(i - 1), m, m + s.c);
        }
        in_chunks(p.n, convolution->chunk(p.n), [&](int64_t first, int64_t n) {
            T *dz = buffer<T>(kSlotOutput, n * norm.size());
            norm_gradient(norm, n, z + first * norm.size(), given + first * norm.pooled(), affine, mean, k2.data(),
                          k3.data(), dz);
            const void *x = t.image(first);
            if (i) {
                NormSizes source = p.stages[i - 1].norm();
                T *active = buffer<T>(kSlotInput, n * s.input());
                activate(source, n, reinterpret_cast<const T *>(kept + p.output_offset(i - 1)) + first * source.size(),
                         *before, active);
                x = active;
            }
            convolution->backward(n, x, dz, transposed, dpacked, i ? handed + first * s.input() : nullptr);
            if (!i && dx) image_gradient(s, n, dz, t.weights(0), dx + first * s.input());
        });
        convolution->unpack_gradient(dpacked, dweights[i]);
        given = handed;
    }
}

// Weights as the kernels read them, and what normalises their outputs, for evaluation.
struct Packed {
    std::vector<std::shared_ptr<char>> weights;
    std::vector<Affine> affine;
};

template <typename T>
std::shared_ptr<Packed> pack_all(const Tensors &t, int64_t n) {
    auto packed = std::make_shared<Packed>();
    for (size_t i = 0; i < t.stages; i++) {
        const StageSizes &s = t.plan.stages[i];
        auto convolution = stage_convolution(s, n, i == 0, t.plan.direct, T());
        packed->weights.push_back(allocate<char>(int64_t(convolution->packed_bytes())));
        convolution->pack(t.weights(i), packed->weights.back().get());
        std::vector<float> rstd(s.o);
        for (int64_t k = 0; k < s.o; k++)
            rstd[k] = static_cast<float>(1.0 / std::sqrt(double(t.running_variance(i)[k]) + t.plan.epsilon));
        packed->affine.emplace_back(s.o, t.gamma(i), t.beta(i), t.running_mean(i), rstd.data());
    }
    return packed;
}

// Packs anew, or, for a network whose parameters do not change any more, only in its first call.
template <typename T>
std::shared_ptr<Packed> packed_for(const Tensors &t, int64_t n) {
    if (t.plan.frozen == 0) return pack_all<T>(t, n);
    const StageSizes &first = t.plan.stages[0];
    Dims key{t.plan.frozen, t.plan.bf16, t.plan.direct};
    if (t.plan.whole_batch()) key.insert(key.end(), {n, first.h, first.w});  // oneDNN's layouts follow the sizes
    return frozen<Packed>(key, [&] { return pack_all<T>(t, n); });
}

// Normalises with the running statistics; a few images pass all stages before the next ones.
template <typename T>
void infer(const Tensors &t, float *y) {
    const Plan &p = t.plan;
    int64_t portion = p.whole_batch() ? p.n : std::min<int64_t>(p.n, 16);
    std::shared_ptr<Packed> packed = packed_for<T>(t, portion);
    NormSizes last = p.stages.back().norm();
    Slot outputs[2] = {kSlotDiff, kSlotDiff2};
    in_chunks(p.n, portion, [&](int64_t begin, int64_t images) {
        const T *z = nullptr;
        for (size_t i = 0; i < t.stages; i++) {
            const StageSizes &s = p.stages[i];
            NormSizes norm = s.norm();
            auto convolution = stage_convolution(s, images, i == 0, p.direct, T());
            T *out = buffer<T>(outputs[i % 2], images * norm.size());
            in_chunks(images, convolution->chunk(images), [&](int64_t first, int64_t n) {
                const void *x = t.image(begin + first);
                if (i) {
                    NormSizes source = p.stages[i - 1].norm();
                    T *active = buffer<T>(kSlotInput, n * s.input());
                    activate(source, n, z + first * source.size(), packed->affine[i - 1], active);
                    x = active;
                }
                convolution->forward(n, x, packed->weights[i].get(), out + first * norm.size());
            });
            z = out;
        }
        T *features = buffer<T>(kSlotOutput, images * last.pooled());
        activate(last, images, z, packed->affine.back(), features);
        to_plain(last, images, features, y + begin * last.pooled());
    });
}

std::vector<float *> outputs(const Arguments &a, int first, size_t stages, int step) {
    std::vector<float *> all;
    for (size_t i = 0; i < stages; i++) all.push_back(a.at<float>(first + int(i) * step));
    return all;
}

void gradients(const Arguments &a, bool image) {
    // behind the settings: kept memory, dy, and the outputs: of the images, or three for each stage
    size_t stages = image ? size_t(a.count - 5) / kPerStage : size_t(a.count - 4) / (kPerStage + 3);
    Tensors t(a, int(image ? 3 : 2 + 3 * stages));
    int kept = t.after() + 1, out = kept + 2;
    const char *memory = a.at<char>(kept);
    std::vector<std::vector<float>> unused;
    std::vector<float *> dw, dg, db;
    if (image) {
        for (const StageSizes &s : t.plan.stages)
            for (int64_t size : {s.weights(), s.o, s.o}) unused.emplace_back(size);
        for (size_t i = 0; i < stages; i++) {
            dw.push_back(unused[3 * i].data());
            dg.push_back(unused[3 * i + 1].data());
            db.push_back(unused[3 * i + 2].data());
        }
    } else {
        dw = outputs(a, out, stages, 3);
        dg = outputs(a, out + 1, stages, 3);
        db = outputs(a, out + 2, stages, 3);
    }
    auto run = t.plan.bf16 ? train_backward<bfloat16> : train_backward<float>;
    run(t, memory, a.at<float>(kept + 1), dw.data(), dg.data(), db.data(), image ? a.at<float>(out) : nullptr);
}

}  // namespace

// Bytes that the forward operator keeps for images of a shape (4 numbers); -1 where it cannot be.
extern "C" int64_t crnn_vgg_memory(const int64_t *x, int64_t stages, const int64_t *outputs, const int64_t *kernels,
                                   const float *settings) {
    int64_t bytes = -1;
    guarded("crnn_vgg_memory", [&] {
        bytes = int64_t(make_plan(Dims(x, x + 4), size_t(stages), outputs, kernels, settings).bytes());
    });
    return bytes;
}

// inputs -> features (N, O, 1, T), memory, then for each stage its new running mean and variance
CRNN_OPERATOR(crnn_vgg_training) {
    size_t stages = size_t(a.count - 4) / (kPerStage + 2);
    Tensors t(a, int(2 + 2 * stages));
    int out = t.after() + 1;
    auto run = t.plan.bf16 ? train_forward<bfloat16> : train_forward<float>;
    run(t, a.at<float>(out), a.at<char>(out + 1), outputs(a, out + 2, stages, 2).data(),
        outputs(a, out + 3, stages, 2).data());
}

// inputs -> features
CRNN_OPERATOR(crnn_vgg_evaluation) {
    Tensors t(a, 1);
    t.plan.bf16 ? infer<bfloat16>(t, a.at<float>(t.after() + 1)) : infer<float>(t, a.at<float>(t.after() + 1));
}

// inputs, memory, gradient of the features -> for each stage the gradients of weights, gamma and beta
CRNN_OPERATOR(crnn_vgg_gradient) { gradients(a, false); }

// inputs, memory, gradient of the features -> gradient of the images
CRNN_OPERATOR(crnn_vgg_image_gradient) { gradients(a, true); }
