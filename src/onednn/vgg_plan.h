// What the operators of the feature extractor are given: shapes, settings, tensors, and the layout of kept memory.
//
// Inputs: images (N, C, H, W); for each stage weights, gamma, beta, running mean, running variance; settings. Settings
// (float32 tensor): compute in bfloat16; use oneDNN's convolutions; epsilon; momentum (share of the old running value); 0,
// or a number that stands for a network whose parameters do not change any more (evaluation only); then for each stage
// its pooling window h, w and the convolution's border.
#pragma once
#include "stage.h"

namespace crnn {

constexpr int kPerStage = 5, kFixedSettings = 5, kStageSettings = 3;

inline size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

// Shapes and settings of a call, and where the kept memory holds what.
struct Plan {
    int64_t n;
    bool bf16, direct;
    float epsilon, momentum;
    int64_t frozen;
    std::vector<StageSizes> stages;

    bool whole_batch() const { return bf16 || direct; }
    size_t element() const { return bf16 ? 2 : 4; }
    size_t output_bytes(size_t i) const { return aligned(size_t(n * stages[i].norm().size()) * element()); }
    size_t output_offset(size_t i) const {
        size_t sum = 0;
        for (size_t j = 0; j < i; j++) sum += output_bytes(j);
        return sum;
    }
    // Mean and 1 / deviation of the batch.
    size_t statistics_offset(size_t i) const {
        size_t sum = output_offset(stages.size());
        for (size_t j = 0; j < i; j++) sum += aligned(2 * stages[j].o * sizeof(float));
        return sum;
    }
    size_t bytes() const { return statistics_offset(stages.size()); }
};

inline Plan make_plan(const Dims &x, size_t stages, const int64_t *outputs, const int64_t *kernels, const float *settings) {
    Plan p{x[0], settings[0] != 0, settings[1] != 0, settings[2], settings[3], int64_t(settings[4]), {}};
    for (size_t i = 0; i < stages; i++) {
        StageSizes s{x[1], x[2], x[3], outputs[i], kernels[i], 0, 1, 1};
        const float *own = settings + kFixedSettings + i * kStageSettings;
        s.pool_h = int(own[0]);
        s.pool_w = int(own[1]);
        s.pad = int64_t(own[2]);
        if (i > 0) {
            NormSizes before = p.stages.back().norm();
            s.c = before.c;
            s.h = before.oh();
            s.w = before.ow();
        }
        if (s.o % kLanes || s.oh() < 1 || s.ow() < 1) throw std::runtime_error("a stage of unexpected size");
        p.stages.push_back(s);
    }
    return p;
}

// The operator's tensors by name.
struct Tensors {
    const Arguments &a;
    size_t stages;
    Plan plan;

    explicit Tensors(const Arguments &arguments, int behind) : a(arguments) {
        stages = size_t(a.count - 2 - behind) / kPerStage;  // `behind`: tensors after the settings
        std::vector<int64_t> outputs, kernels;
        for (size_t i = 0; i < stages; i++) {
            Dims w = a.shape(int(1 + i * kPerStage));
            outputs.push_back(w[0]);
            kernels.push_back(w[2]);
        }
        plan = make_plan(a.shape(0), stages, outputs.data(), kernels.data(), a.at<float>(after()));
    }
    int after() const { return int(1 + stages * kPerStage); }  // index of the settings
    const float *image(int64_t n) const { return a.at<float>(0) + n * plan.stages[0].input(); }
    const float *weights(size_t i) const { return part(i, 0); }
    const float *gamma(size_t i) const { return part(i, 1); }
    const float *beta(size_t i) const { return part(i, 2); }
    const float *running_mean(size_t i) const { return part(i, 3); }
    const float *running_variance(size_t i) const { return part(i, 4); }

  private:
    const float *part(size_t i, int number) const { return a.at<float>(int(1 + i * kPerStage) + number); }
};

}  // namespace crnn
