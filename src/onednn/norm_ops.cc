// Batch norm, ReLU and max pooling in one pass over channels-last tensors, with their gradient.
//
// Settings (float32 tensor): pooling window h, w (1 or 2 each; the step equals the window, a border window is cut),
// training, output plain (float32 (N, C, H, W)), epsilon, momentum (share of the old running value).
// Channels must be a multiple of 16. The gradient recomputes the normalised value from the convolution's output, so nothing else needs to be kept.
#include <cmath>
#include <cstring>

#include "runtime.h"

using namespace crnn;

namespace {

struct bfloat16 {
    uint16_t bits;
};

// Channels are handled 16 at a time, with the compiler's vector types: selections then cost no branches.
constexpr int kLanes = 16;
typedef float Vector __attribute__((vector_size(kLanes * 4)));
typedef int32_t Index __attribute__((vector_size(kLanes * 4)));
typedef uint32_t Bits __attribute__((vector_size(kLanes * 4)));
typedef uint16_t Halves __attribute__((vector_size(kLanes * 2)));

inline Vector load(const float *p) {
    Vector v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline Vector load(const bfloat16 *p) {
    Halves h;
    std::memcpy(&h, p, sizeof h);
    Bits bits = __builtin_convertvector(h, Bits) << 16;
    return reinterpret_cast<Vector &>(bits);
}
inline void store(float *p, Vector v) { std::memcpy(p, &v, sizeof v); }
inline void store(bfloat16 *p, Vector v) {  // round to nearest even, NaN stays NaN
    Bits bits = reinterpret_cast<Bits &>(v);
    Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    rounded = v == v ? rounded : Bits{} + 0x7fc0;
    Halves h = __builtin_convertvector(rounded, Halves);
    std::memcpy(p, &h, sizeof h);
}
inline void add(float *p, Vector v) { store(p, load(p) + v); }

struct Settings {
    int pool_h, pool_w;
    bool training, plain;
    float epsilon, momentum;
    explicit Settings(const float *s)
        : pool_h(int(s[0])), pool_w(int(s[1])), training(s[2] != 0), plain(s[3] != 0), epsilon(s[4]), momentum(s[5]) {}
};

// Sizes of one call: x (N, H, W, C), pooled to (N, oh, ow, C).
struct Sizes {
    int64_t n, h, w, c, oh, ow;
    int ph, pw;
    Sizes(const Dims &x, const Settings &s)
        : n(x[0]), h(x[1]), w(x[2]), c(x[3]), oh((h + s.pool_h - 1) / s.pool_h), ow((w + s.pool_w - 1) / s.pool_w),
          ph(s.pool_h), pw(s.pool_w) {
        if (c % kLanes) throw std::runtime_error("channels must be a multiple of 16");
    }
};

// Per-channel sums of v - offset and its square. Rows are summed in float, everything beyond in double.
template <typename T>
void moments(const T *x, const Sizes &z, const float *offset, double *sum, double *square) {
    int jobs = thread_count();
    int64_t c = z.c;
    std::vector<double> partial(jobs * 2 * c, 0.0);
    parallel(jobs, [&](int job) {
        double *s1 = partial.data() + job * 2 * c, *s2 = s1 + c;
        std::vector<float> row(2 * c);
        float *r1 = row.data(), *r2 = r1 + c;
        int64_t begin, end;
        split(z.n * z.h, job, jobs, begin, end);
        for (int64_t y = begin; y < end; y++) {
            std::fill(row.begin(), row.end(), 0.0f);
            const T *p = x + y * z.w * c;
            for (int64_t i = 0; i < z.w; i++, p += c)
                for (int64_t k = 0; k < c; k += kLanes) {
                    Vector d = load(p + k) - load(offset + k);
                    add(r1 + k, d);
                    add(r2 + k, d * d);
                }
            for (int64_t k = 0; k < c; k++) {
                s1[k] += r1[k];
                s2[k] += r2[k];
            }
        }
    });
    for (int job = 0; job < jobs; job++)
        for (int64_t k = 0; k < c; k++) {
            sum[k] += partial[job * 2 * c + k];
            square[k] += partial[job * 2 * c + c + k];
        }
}

// Runs f(first row of the window in x, rows of it, pooled row) for the pooled rows [begin, end).
template <typename F>
void pooled_rows(const Sizes &z, int64_t begin, int64_t end, const F &f) {
    for (int64_t row = begin; row < end; row++) {
        int64_t n = row / z.oh, y = row % z.oh;
        f((n * z.h + y * z.ph) * z.w * z.c, z.h - y * z.ph < z.ph ? 1 : z.ph, row * z.ow * z.c);
    }
}

// Calls part<KH, KW>(first column, number of windows) for the whole windows of a row and the cut one at its end.
template <typename Part>
void windows(const Sizes &z, int kh, const Part &part) {
    int64_t whole = z.w / z.pw;
    bool two = kh == 2;
    if (z.pw == 2) {
        two ? part.template run<2, 2>(0, whole) : part.template run<1, 2>(0, whole);
        if (whole < z.ow) two ? part.template run<2, 1>(whole * 2, 1) : part.template run<1, 1>(whole * 2, 1);
    } else {
        two ? part.template run<2, 1>(0, whole) : part.template run<1, 1>(0, whole);
    }
}

// y = the largest max(0, x * scale + shift) of each window.
template <typename T>
struct Forward {
    const T *x;
    T *y;
    int64_t step, c, pw;  // step: from one row of x to the next
    const float *scale, *shift;

    template <int KH, int KW>
    void run(int64_t column, int64_t count) const {
        for (int64_t i = 0; i < count; i++) {
            const T *p = x + (column + i * KW) * c;
            T *q = y + (column / pw + i) * c;
            for (int64_t k = 0; k < c; k += kLanes) {
                Vector a = load(scale + k), b = load(shift + k), m{};
                for (int r = 0; r < KH; r++)
                    for (int s = 0; s < KW; s++) {
                        Vector v = load(p + r * step + s * c + k) * a + b;
                        m = v <= m ? m : v;  // this way round a NaN is not lost
                    }
                store(q + k, m);
            }
        }
    }
};

// Sums over a row of dz and dz * (x - mean), dz being the gradient before the ReLU.
template <typename T>
struct Sums {
    const T *x, *dy;
    int64_t step, c, pw;
    const float *scale, *shift, *mean;
    float *sum, *product;

    template <int KH, int KW>
    void run(int64_t column, int64_t count) const {
        for (int64_t i = 0; i < count; i++) {
            const T *p = x + (column + i * KW) * c;
            const T *g = dy + (column / pw + i) * c;
            for (int64_t k = 0; k < c; k += kLanes) {
                Vector a = load(scale + k), b = load(shift + k), m{}, best{};
                for (int r = 0; r < KH; r++)
                    for (int s = 0; s < KW; s++) {
                        Vector v = load(p + r * step + s * c + k), z = v * a + b;
                        best = z <= m ? best : v;
                        m = z <= m ? m : z;
                    }
                Vector dz = m > 0 ? load(g + k) : Vector{};
                add(sum + k, dz);
                add(product + k, dz * (best - load(mean + k)));
            }
        }
    }
};

// dx = scale * dz - k2 - k3 * (x - mean)
template <typename T>
struct Backward {
    const T *x, *dy;
    T *dx;
    int64_t step, c, pw;
    const float *scale, *shift, *mean, *k2, *k3;

    template <int KH, int KW>
    void run(int64_t column, int64_t count) const {
        for (int64_t i = 0; i < count; i++) {
            const T *p = x + (column + i * KW) * c;
            T *q = dx + (column + i * KW) * c;
            const T *g = dy + (column / pw + i) * c;
            for (int64_t k = 0; k < c; k += kLanes) {
                Vector a = load(scale + k), b = load(shift + k), v[KH * KW], m{};
                Index best = Index{} - 1;
                for (int r = 0; r < KH; r++)
                    for (int s = 0; s < KW; s++) {
                        Vector w = load(p + r * step + s * c + k), z = w * a + b;
                        v[r * KW + s] = w;
                        best = z <= m ? best : Index{} + (r * KW + s);
                        m = z <= m ? m : z;
                    }
                Vector dz = load(g + k) * a, f2 = load(k2 + k), f3 = load(k3 + k), u = load(mean + k);
                for (int r = 0; r < KH; r++)
                    for (int s = 0; s < KW; s++) {
                        Vector d = best == r * KW + s ? dz : Vector{};
                        store(q + r * step + s * c + k, d - f2 - (v[r * KW + s] - u) * f3);
                    }
            }
        }
    }
};

Reorder &plain(const Sizes &z, int type, bool to_plain) {
    Dims d{z.n, z.c, z.oh, z.ow};
    return cached<Reorder>({to_plain, type, z.n, z.c, z.oh, z.ow}, [&] {
        Layout last = Layout::strided(d, type, {z.oh * z.ow * z.c, 1, z.ow * z.c, z.c}), dense = Layout::dense(d, kF32);
        return to_plain ? Reorder(last, dense) : Reorder(dense, last);
    });
}

struct Affine {  // x * scale + shift == (x - mean) * rstd * gamma + beta
    std::vector<float> scale, shift;
    Affine(int64_t c, const float *gamma, const float *beta, const float *mean, const float *rstd) : scale(c), shift(c) {
        for (int64_t k = 0; k < c; k++) {
            scale[k] = gamma[k] * rstd[k];
            shift[k] = static_cast<float>(beta[k] - double(mean[k]) * scale[k]);
        }
    }
};

template <typename T>
void forward(const Arguments &a, int type) {
    Settings s(a.at<float>(5));
    Sizes z(a.shape(0), s);
    const T *x = a.at<T>(0);
    const float *gamma = a.at<float>(1), *beta = a.at<float>(2), *old_mean = a.at<float>(3), *old_var = a.at<float>(4);
    float *mean = a.at<float>(7), *rstd = a.at<float>(8), *new_mean = a.at<float>(9), *new_var = a.at<float>(10);
    if (s.training) {
        double count = double(z.n) * z.h * z.w;
        std::vector<float> offset(z.c);  // keeps the squares small where the mean is large
        for (int64_t k = 0; k < z.c; k += kLanes) store(offset.data() + k, load(x + k));
        std::vector<double> sum(z.c, 0.0), square(z.c, 0.0);
        moments(x, z, offset.data(), sum.data(), square.data());
        for (int64_t k = 0; k < z.c; k++) {
            double d = sum[k] / count, var = std::fmax(square[k] / count - d * d, 0.0);
            if (!(square[k] == square[k])) var = square[k];  // fmax would hide a NaN
            mean[k] = static_cast<float>(d + offset[k]);
            rstd[k] = static_cast<float>(1.0 / std::sqrt(var + s.epsilon));
            new_mean[k] = s.momentum * old_mean[k] + (1 - s.momentum) * mean[k];
            double unbiased = var * count / std::fmax(count - 1, 1.0);
            new_var[k] = static_cast<float>(s.momentum * old_var[k] + (1 - s.momentum) * unbiased);
        }
    } else {
        for (int64_t k = 0; k < z.c; k++) {
            mean[k] = new_mean[k] = old_mean[k];
            new_var[k] = old_var[k];
            rstd[k] = static_cast<float>(1.0 / std::sqrt(double(old_var[k]) + s.epsilon));
        }
    }
    Affine affine(z.c, gamma, beta, mean, rstd);
    Reorder *out = s.plain ? &plain(z, type, true) : nullptr;
    T *y = static_cast<T *>(out ? out->target(a.at<void>(6), kSlotOutput) : a.at<void>(6));
    int jobs = thread_count() * 4;
    parallel(jobs, [&](int job) {
        int64_t begin, end;
        split(z.n * z.oh, job, jobs, begin, end);
        pooled_rows(z, begin, end, [&](int64_t in, int kh, int64_t o) {
            windows(z, kh, Forward<T>{x + in, y + o, z.w * z.c, z.c, z.pw, affine.scale.data(), affine.shift.data()});
        });
    });
    if (out) out->finish(y, a.at<void>(6));
}

template <typename T>
void backward(const Arguments &a, int type) {
    Settings s(a.at<float>(6));
    Sizes z(a.shape(0), s);
    const T *x = a.at<T>(0);
    const float *gamma = a.at<float>(1), *beta = a.at<float>(2), *mean = a.at<float>(3), *rstd = a.at<float>(4);
    const T *dy = static_cast<const T *>(s.plain ? plain(z, type, false).into(a.at<void>(5), kSlotInput) : a.at<void>(5));
    T *dx = a.at<T>(7);
    float *dgamma = a.at<float>(8), *dbeta = a.at<float>(9);
    Affine affine(z.c, gamma, beta, mean, rstd);
    int jobs = thread_count();
    std::vector<double> partial(jobs * 2 * z.c, 0.0);
    parallel(jobs, [&](int job) {
        double *s1 = partial.data() + job * 2 * z.c, *s2 = s1 + z.c;
        std::vector<float> row(2 * z.c);
        int64_t begin, end;
        split(z.n * z.oh, job, jobs, begin, end);
        pooled_rows(z, begin, end, [&](int64_t in, int kh, int64_t o) {
            std::fill(row.begin(), row.end(), 0.0f);
            windows(z, kh, Sums<T>{x + in, dy + o, z.w * z.c, z.c, z.pw, affine.scale.data(), affine.shift.data(), mean,
                                   row.data(), row.data() + z.c});
            for (int64_t k = 0; k < z.c; k++) {
                s1[k] += row[k];
                s2[k] += row[z.c + k];
            }
        });
    });
    double count = double(z.n) * z.h * z.w;
    std::vector<float> k2(z.c, 0.0f), k3(z.c, 0.0f);
    for (int64_t k = 0; k < z.c; k++) {
        double sum = 0, product = 0;
        for (int job = 0; job < jobs; job++) {
            sum += partial[job * 2 * z.c + k];
            product += partial[job * 2 * z.c + z.c + k];
        }
        dbeta[k] = static_cast<float>(sum);
        dgamma[k] = static_cast<float>(product * rstd[k]);
        if (s.training) {  // the batch's own mean and variance depend on x too
            k2[k] = static_cast<float>(affine.scale[k] * sum / count);
            k3[k] = static_cast<float>(affine.scale[k] * product * rstd[k] * rstd[k] / count);
        }
    }
    parallel(jobs * 4, [&](int job) {
        int64_t begin, end;
        split(z.n * z.oh, job, jobs * 4, begin, end);
        pooled_rows(z, begin, end, [&](int64_t in, int kh, int64_t o) {
            windows(z, kh, Backward<T>{x + in, dy + o, dx + in, z.w * z.c, z.c, z.pw, affine.scale.data(),
                                       affine.shift.data(), mean, k2.data(), k3.data()});
        });
    });
}

}  // namespace

// x, gamma, beta, running mean, running variance, settings
// -> y, mean, 1 / deviation (both as used), new running mean, new running variance
CRNN_OPERATOR(crnn_norm_forward) {
    a.expect(11);
    a.type(0) == kBf16 ? forward<bfloat16>(a, kBf16) : forward<float>(a, kF32);
}

// x, gamma, beta, mean, 1 / deviation, dy, settings -> dx, dgamma, dbeta
CRNN_OPERATOR(crnn_norm_backward) {
    a.expect(10);
    a.type(0) == kBf16 ? backward<bfloat16>(a, kBf16) : backward<float>(a, kF32);
}
