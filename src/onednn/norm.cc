#include "norm.h"

#include <algorithm>

namespace crnn {
namespace {

// Runs f(first row of the window in x, rows of it, pooled row) for the pooled rows [begin, end).
template <typename F>
void pooled_rows(const NormSizes &z, int64_t begin, int64_t end, const F &f) {
    for (int64_t row = begin; row < end; row++) {
        int64_t n = row / z.oh(), y = row % z.oh();
        f((n * z.h + y * z.ph) * z.w * z.c, z.h - y * z.ph < z.ph ? 1 : z.ph, row * z.ow() * z.c);
    }
}

// Calls part<KH, KW>(first column, number of windows) for the whole windows of a row and the cut one at its end.
template <typename Part>
void windows(const NormSizes &z, int kh, const Part &part) {
    int64_t whole = z.w / z.pw;
    bool two = kh == 2;
    if (z.pw == 2) {
        two ? part.template run<2, 2>(0, whole) : part.template run<1, 2>(0, whole);
        if (whole < z.ow()) two ? part.template run<2, 1>(whole * 2, 1) : part.template run<1, 1>(whole * 2, 1);
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

// Sums over a row of dz and dz * (x - mean).
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

// Spreads f(first row, row behind the last) over the threads.
template <typename F>
void over_rows(int64_t rows, const F &f) {
    int jobs = int(std::min<int64_t>(rows, thread_count() * 4));
    parallel(jobs, [&](int job) {
        int64_t begin, end;
        split(rows, job, jobs, begin, end);
        f(begin, end);
    });
}

}  // namespace

Affine::Affine(int64_t c, const float *gamma, const float *beta, const float *mean, const float *rstd)
    : scale(c), shift(c) {
    for (int64_t k = 0; k < c; k++) {
        scale[k] = gamma[k] * rstd[k];
        shift[k] = static_cast<float>(beta[k] - double(mean[k]) * scale[k]);
    }
}

template <typename T>
void add_moments(const NormSizes &z, int64_t n, const T *x, Moments &moments) {
    Timed timed("statistics");
    int64_t c = z.c;
    std::vector<double> partial(n * 2 * c, 0.0);
    parallel(int(n), [&](int image) {
        double *s1 = partial.data() + image * 2 * c, *s2 = s1 + c;
        std::vector<float> row(3 * c);
        float *r1 = row.data(), *r2 = r1 + c, *offset = r2 + c;  // the offset keeps squares small where means are large
        const T *p = x + image * z.size();
        for (int64_t k = 0; k < c; k += kLanes) store(offset + k, load(p + k));
        for (int64_t y = 0; y < z.h; y++) {  // a row is summed in single precision
            std::fill(r1, r1 + 2 * c, 0.0f);
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
        double count = double(z.h * z.w);
        for (int64_t k = 0; k < c; k++) {
            double d = s1[k] / count;
            s2[k] -= d * s1[k];
            s1[k] = d + offset[k];
        }
    });
    for (int64_t image = 0; image < n; image++) {  // Chan, Golub and LeVeque's update
        const double *mean = partial.data() + image * 2 * c, *square = mean + c;
        double own = double(z.h * z.w), both = moments.count + own, share = own / both;
        for (int64_t k = 0; k < c; k++) {
            double d = mean[k] - moments.mean[k];
            moments.mean[k] += d * share;
            moments.square[k] += square[k] + d * d * moments.count * share;
        }
        moments.count = both;
    }
}

template <typename T>
void activate(const NormSizes &z, int64_t n, const T *x, const Affine &affine, T *y) {
    Timed timed("normalise, ReLU, pool");
    over_rows(n * z.oh(), [&](int64_t begin, int64_t end) {
        pooled_rows(z, begin, end, [&](int64_t in, int kh, int64_t o) {
            windows(z, kh, Forward<T>{x + in, y + o, z.w * z.c, z.c, z.pw, affine.scale.data(), affine.shift.data()});
        });
    });
}

template <typename T>
void add_gradient_sums(const NormSizes &z, int64_t n, const T *x, const T *dy, const Affine &affine, const float *mean,
                       GradientSums &sums) {
    Timed timed("gradient sums");
    int jobs = int(std::min<int64_t>(n * z.oh(), thread_count()));
    std::vector<double> partial(jobs * 2 * z.c, 0.0);
    parallel(jobs, [&](int job) {
        double *s1 = partial.data() + job * 2 * z.c, *s2 = s1 + z.c;
        std::vector<float> row(2 * z.c);
        int64_t begin, end;
        split(n * z.oh(), job, jobs, begin, end);
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
    for (int job = 0; job < jobs; job++)
        for (int64_t k = 0; k < z.c; k++) {
            sums.sum[k] += partial[job * 2 * z.c + k];
            sums.product[k] += partial[job * 2 * z.c + z.c + k];
        }
}

template <typename T>
void norm_gradient(const NormSizes &z, int64_t n, const T *x, const T *dy, const Affine &affine, const float *mean,
                   const float *k2, const float *k3, T *dx) {
    Timed timed("gradient of norm, ReLU, pool");
    over_rows(n * z.oh(), [&](int64_t begin, int64_t end) {
        pooled_rows(z, begin, end, [&](int64_t in, int kh, int64_t o) {
            windows(z, kh, Backward<T>{x + in, dy + o, dx + in, z.w * z.c, z.c, z.pw, affine.scale.data(),
                                       affine.shift.data(), mean, k2, k3});
        });
    });
}

#define CRNN_INSTANTIATE(T)                                                                                          \
    template void add_moments<T>(const NormSizes &, int64_t, const T *, Moments &);                                  \
    template void activate<T>(const NormSizes &, int64_t, const T *, const Affine &, T *);                           \
    template void add_gradient_sums<T>(const NormSizes &, int64_t, const T *, const T *, const Affine &,             \
                                       const float *, GradientSums &);                                               \
    template void norm_gradient<T>(const NormSizes &, int64_t, const T *, const T *, const Affine &, const float *, \
                                   const float *, const float *, T *);
CRNN_INSTANTIATE(float)
CRNN_INSTANTIATE(bfloat16)

}  // namespace crnn
