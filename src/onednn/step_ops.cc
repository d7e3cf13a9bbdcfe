// What a training step does with its gradients before the optimizer.
#include <algorithm>
#include <cmath>

#include "runtime.h"
#include "vectors.h"

using namespace crnn;

namespace {

struct Piece {
    const float *from;
    float *to;
    int64_t count;
};

// The tensors in pieces of even size, so that threads share the work; the pieces do not depend on their number.
std::vector<Piece> pieces(const Arguments &a, int tensors, int outputs) {
    constexpr int64_t kSize = 1 << 16;
    std::vector<Piece> all;
    for (int i = 0; i < tensors; i++) {
        int64_t count = 1;
        for (int64_t length : a.shape(i)) count *= length;
        for (int64_t begin = 0; begin < count; begin += kSize)
            all.push_back({a.at<float>(i) + begin, a.at<float>(outputs + i) + begin, std::min(kSize, count - begin)});
    }
    return all;
}

// Sum of (x * factor)^2.
double squares(const float *x, int64_t count, float factor) {
    constexpr int64_t kBlock = 64 * kLanes;  // summed in single precision
    double sum = 0;
    for (int64_t begin = 0; begin < count; begin += kBlock) {
        int64_t end = std::min(count, begin + kBlock), i = begin;
        Vector lanes{};
        for (; i + kLanes <= end; i += kLanes) {
            Vector v = load(x + i) * factor;
            lanes += v * v;
        }
        for (int l = 0; l < kLanes; l++) sum += lanes[l];
        for (; i < end; i++) sum += double(x[i] * factor) * (x[i] * factor);
    }
    return sum;
}

}  // namespace

// gradients, factor (1,), largest norm (1,), 0 for none -> gradients * factor, clipped by their norm; their norm before (1,)
CRNN_OPERATOR(crnn_clip) {
    int tensors = (a.count - 3) / 2;
    a.expect(2 * tensors + 3);
    timed_prefix = "clipping: ";
    Timed timed("norm and clipping");
    float factor = *a.at<float>(tensors), largest = *a.at<float>(tensors + 1);
    std::vector<Piece> all = pieces(a, tensors, tensors + 2);
    std::vector<double> partial(all.size());
    parallel(int(all.size()), [&](int i) { partial[i] = squares(all[i].from, all[i].count, factor); });
    double sum = 0;
    for (double part : partial) sum += part;
    float norm = static_cast<float>(std::sqrt(sum));
    *a.at<float>(2 * tensors + 2) = norm;
    // As the stock operators: with a norm that is not finite the gradient is not used.
    if (largest > 0) factor *= std::min(1.0f, largest / (norm + 1e-6f));
    parallel(int(all.size()), [&](int number) {
        const Piece &p = all[number];
        int64_t i = 0;
        for (; i + kLanes <= p.count; i += kLanes) store(p.to + i, load(p.from + i) * factor);
        for (; i < p.count; i++) p.to[i] = p.from[i] * factor;
    });
}
