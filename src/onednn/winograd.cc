#include "winograd.h"

#include <algorithm>
#include <cstring>

#include "gemm.h"

namespace crnn {
namespace {

constexpr int64_t kGroup = 64;  // channels that one thread handles at a time where it must own them

// (4x3) g (3x4): weights to the domain of the products.
inline void weight_transform(const Vector g[9], Vector u[16]) {
    Vector t[12];
    for (int j = 0; j < 3; j++) {
        Vector sum = (g[j] + g[6 + j]) * 0.5f, half = g[3 + j] * 0.5f;
        t[j] = g[j];
        t[3 + j] = sum + half;
        t[6 + j] = sum - half;
        t[9 + j] = g[6 + j];
    }
    for (int i = 0; i < 4; i++) {
        Vector sum = (t[3 * i] + t[3 * i + 2]) * 0.5f, half = t[3 * i + 1] * 0.5f;
        u[4 * i] = t[3 * i];
        u[4 * i + 1] = sum + half;
        u[4 * i + 2] = sum - half;
        u[4 * i + 3] = t[3 * i + 2];
    }
}

inline void weight_transposed(const Vector u[16], Vector g[9]) {
    Vector t[12];
    for (int j = 0; j < 4; j++) {
        Vector sum = (u[4 + j] + u[8 + j]) * 0.5f;
        t[j] = u[j] + sum;
        t[4 + j] = (u[4 + j] - u[8 + j]) * 0.5f;
        t[8 + j] = sum + u[12 + j];
    }
    for (int i = 0; i < 3; i++) {
        Vector sum = (t[4 * i + 1] + t[4 * i + 2]) * 0.5f;
        g[3 * i] = t[4 * i] + sum;
        g[3 * i + 1] = (t[4 * i + 1] - t[4 * i + 2]) * 0.5f;
        g[3 * i + 2] = sum + t[4 * i + 3];
    }
}

// One dimension of the input transform, over elements `step` apart, and its transpose.
inline void input_line(Vector *d, int step) {
    Vector a = d[0], b = d[step], c = d[2 * step], e = d[3 * step];
    d[0] = a - c;
    d[step] = b + c;
    d[2 * step] = c - b;
    d[3 * step] = b - e;
}
inline void input_line_transposed(Vector *v, int step) {
    Vector a = v[0], b = v[step], c = v[2 * step], e = v[3 * step];
    v[step] = b - c + e;
    v[2 * step] = b + c - a;
    v[3 * step] = -e;
}

// The spot of every tap of a 4x4 tile; null beyond the border.
template <typename T>
void taps(T *image, int64_t h, int64_t w, int64_t c, int64_t row, int64_t column, T *out[16]) {
    for (int r = 0; r < 4; r++)
        for (int s = 0; s < 4; s++) {
            int64_t y = 2 * row - 1 + r, x = 2 * column - 1 + s;
            out[4 * r + s] = y < 0 || y >= h || x < 0 || x >= w ? nullptr : image + (y * w + x) * c;
        }
}

// Runs f(image, row of tiles, number of its first tile) for all rows of tiles.
template <typename F>
void over_tile_rows(int64_t n, int64_t rows, int64_t columns, const F &f) {
    parallel(int(n * rows), [&](int job) { f(job / rows, job % rows, int64_t(job) * columns); });
}

// Spreads f(product, first panel, panel behind the last) for the panels of `columns` over the threads.
template <typename F>
void products(int64_t columns, const F &f) {
    Timed timed("products");
    int64_t panels = columns / kPanel;
    int64_t parts = std::min<int64_t>(panels, (thread_count() + 7) / 8);  // 16 products are enough for few threads
    parallel(int(16 * parts), [&](int job) {
        int64_t begin, end;
        split(panels, int(job % parts), int(parts), begin, end);
        f(job / parts, begin, end);
    });
}

// Weights (o, c, 3, 3): nine vectors whose lanes are `step` floats apart.
inline void gather(const float *weights, int64_t step, Vector g[9]) {
    float lanes[9][kLanes];
    for (int l = 0; l < kLanes; l++)
        for (int t = 0; t < 9; t++) lanes[t][l] = weights[l * step + t];
    for (int t = 0; t < 9; t++) g[t] = load(lanes[t]);
}

// Packs for a product whose result has `columns` channels, `depth` being summed; steps are those of the weights.
void pack_weights(const float *weights, int64_t columns, int64_t column_step, int64_t depth, int64_t depth_step,
                  float *packed) {
    Timed timed("weights packed");
    parallel(int(columns / kPanel), [&](int panel) {
        for (int64_t k = 0; k < depth; k++)
            for (int half = 0; half < 2; half++) {
                Vector g[9], u[16];
                gather(weights + (panel * kPanel + half * kLanes) * column_step + k * depth_step, column_step, g);
                weight_transform(g, u);
                for (int p = 0; p < 16; p++)
                    store(packed + p * columns * depth + (panel * depth + k) * kPanel + half * kLanes, u[p]);
            }
    });
}

}  // namespace

void Winograd::pack(const float *weights, float *packed) const { pack_weights(weights, o, c * 9, c, 9, packed); }

void Winograd::pack_transposed(const float *weights, float *packed) const {
    pack_weights(weights, c, 9, o, c * 9, packed);
}

void Winograd::unpack_gradient(const float *dpacked, float *dweights) const {
    Timed timed("weights packed");
    parallel(int(o / kLanes), [&](int group) {
        for (int64_t k = 0; k < c; k++) {
            Vector u[16], g[9];
            float lanes[9][kLanes];
            for (int p = 0; p < 16; p++) u[p] = load(dpacked + (p * c + k) * o + group * kLanes);
            weight_transposed(u, g);
            for (int t = 0; t < 9; t++) store(lanes[t], g[t]);
            for (int l = 0; l < kLanes; l++)
                for (int t = 0; t < 9; t++) dweights[((group * kLanes + l) * c + k) * 9 + t] = lanes[t][l];
        }
    });
}

void Winograd::transform(int64_t n, const float *x, float *out) const {
    Timed timed("transforms");
    int64_t rows = (h + 1) / 2, columns = (w + 1) / 2, plane = n * rows * columns * c;
    over_tile_rows(n, rows, columns, [&](int64_t image, int64_t row, int64_t first) {
        for (int64_t j = 0; j < columns; j++) {
            const float *in[16];
            taps(x + image * h * w * c, h, w, c, row, j, in);
            float *to = out + (first + j) * c;
            for (int64_t k = 0; k < c; k += kLanes) {
                Vector d[16];
                for (int t = 0; t < 16; t++) d[t] = in[t] ? load(in[t] + k) : Vector{};
                for (int s = 0; s < 4; s++) input_line(d + s, 4);
                for (int r = 0; r < 4; r++) input_line(d + 4 * r, 1);
                for (int t = 0; t < 16; t++) store(to + t * plane + k, d[t]);
            }
        }
    });
}

void Winograd::outputs(int64_t n, const float *products, float *y) const {
    Timed timed("transforms");
    int64_t rows = (h + 1) / 2, columns = (w + 1) / 2, plane = n * rows * columns * o;
    over_tile_rows(n, rows, columns, [&](int64_t image, int64_t row, int64_t first) {
        for (int64_t j = 0; j < columns; j++) {
            const float *from = products + (first + j) * o;
            float *to = y + ((image * h + 2 * row) * w + 2 * j) * o;
            bool below = 2 * row + 1 < h, right = 2 * j + 1 < w;
            for (int64_t k = 0; k < o; k += kLanes) {
                Vector m[16], t[8];
                for (int p = 0; p < 16; p++) m[p] = load(from + p * plane + k);
                for (int s = 0; s < 4; s++) {
                    t[s] = m[s] + m[4 + s] + m[8 + s];
                    t[4 + s] = m[4 + s] - m[8 + s] - m[12 + s];
                }
                store(to + k, t[0] + t[1] + t[2]);
                if (right) store(to + o + k, t[1] - t[2] - t[3]);
                if (below) store(to + w * o + k, t[4] + t[5] + t[6]);
                if (below && right) store(to + w * o + o + k, t[5] - t[6] - t[7]);
            }
        }
    });
}

void Winograd::transform_gradient(int64_t n, const float *dy, float *out) const {
    Timed timed("transforms");
    int64_t rows = (h + 1) / 2, columns = (w + 1) / 2, plane = n * rows * columns * o;
    over_tile_rows(n, rows, columns, [&](int64_t image, int64_t row, int64_t first) {
        for (int64_t j = 0; j < columns; j++) {
            const float *from = dy + ((image * h + 2 * row) * w + 2 * j) * o;
            float *to = out + (first + j) * o;
            bool below = 2 * row + 1 < h, right = 2 * j + 1 < w;
            for (int64_t k = 0; k < o; k += kLanes) {
                Vector a = load(from + k), b = right ? load(from + o + k) : Vector{};
                Vector d = below ? load(from + w * o + k) : Vector{};
                Vector e = below && right ? load(from + w * o + o + k) : Vector{};
                Vector t[8] = {a, a + d, a - d, -d, b, b + e, b - e, -e};
                for (int r = 0; r < 4; r++) {
                    float *q = to + 4 * r * plane + k;
                    store(q, t[r]);
                    store(q + plane, t[r] + t[4 + r]);
                    store(q + 2 * plane, t[r] - t[4 + r]);
                    store(q + 3 * plane, -t[4 + r]);
                }
            }
        }
    });
}

void Winograd::input_gradient(int64_t n, const float *products, float *dx) const {
    Timed timed("transforms");
    int64_t rows = (h + 1) / 2, columns = (w + 1) / 2, plane = n * rows * columns * c;
    int64_t groups = (c + kGroup - 1) / kGroup;
    parallel(int(n * groups), [&](int job) {
        int64_t image = job / groups, begin = job % groups * kGroup, end = std::min(c, begin + kGroup);
        float *target = dx + image * h * w * c;
        for (int64_t pixel = 0; pixel < h * w; pixel++)
            std::memset(target + pixel * c + begin, 0, (end - begin) * sizeof(float));
        for (int64_t tile = 0; tile < rows * columns; tile++) {
            const float *from = products + (image * rows * columns + tile) * c;
            float *to[16];
            taps(target, h, w, c, tile / columns, tile % columns, to);
            for (int64_t k = begin; k < end; k += kLanes) {
                Vector v[16];
                for (int p = 0; p < 16; p++) v[p] = load(from + p * plane + k);
                for (int s = 0; s < 4; s++) input_line_transposed(v + s, 4);
                for (int r = 0; r < 4; r++) input_line_transposed(v + 4 * r, 1);
                for (int t = 0; t < 16; t++)
                    if (to[t]) add(to[t] + k, v[t]);
            }
        }
    });
}

void Winograd::forward(int64_t n, const float *x, const float *packed, float *y) const {
    int64_t t = n * tiles();
    float *in = static_cast<float *>(scratch(kSlotWinograd, 16 * t * c * sizeof(float)));
    float *out = static_cast<float *>(scratch(kSlotWinograd2, 16 * t * o * sizeof(float)));
    transform(n, x, in);
    products(o, [&](int64_t p, int64_t begin, int64_t end) {
        multiply(t, (end - begin) * kPanel, c, in + p * t * c, c, 1, packed + p * c * o + begin * c * kPanel, c * kPanel,
                 kPanel, out + p * t * o + begin * kPanel, o, false);
    });
    outputs(n, out, y);
}

void Winograd::backward(int64_t n, const float *x, const float *dy, const float *transposed, float *dpacked,
                        float *dx) const {
    int64_t t = n * tiles();
    float *in = static_cast<float *>(scratch(kSlotWinograd, 16 * t * c * sizeof(float)));
    float *out = static_cast<float *>(scratch(kSlotWinograd2, 16 * t * o * sizeof(float)));
    transform(n, x, in);
    transform_gradient(n, dy, out);
    products(c, [&](int64_t p, int64_t begin, int64_t end) {
        float *a = in + p * t * c + begin * kPanel, *b = out + p * t * o;
        std::vector<float> panel(t * kPanel);  // rows as far apart as b's would fall on few lines of the cache
        for (int64_t j = 0; j < o / kPanel; j++) {
            for (int64_t i = 0; i < t; i++) std::memcpy(panel.data() + i * kPanel, b + i * o + j * kPanel, kPanel * 4);
            multiply((end - begin) * kPanel, kPanel, t, a, 1, c, panel.data(), 0, kPanel,
                     dpacked + (p * c + begin * kPanel) * o + j * kPanel, o, true);
        }
        if (dx)  // takes the place of the inputs, which are used up
            multiply(t, (end - begin) * kPanel, o, b, o, 1, transposed + p * c * o + begin * o * kPanel, o * kPanel,
                     kPanel, a, c, false);
    });
    if (dx) input_gradient(n, in, dx);
}

}  // namespace crnn
