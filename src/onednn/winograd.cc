#include "winograd.h"

#include <algorithm>
#include <cstring>

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

// Clears the rows that only fill up the last pair, in all planes.
template <typename T>
void clear_rows(T *planes, int64_t step, int64_t begin, int64_t end, int64_t channels) {
    for (int p = 0; p < 16; p++)
        std::memset(static_cast<void *>(planes + p * step + begin * channels), 0, (end - begin) * channels * sizeof(T));
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

// The nine values of kLanes channels, by channel, between memory, (output, channel, tap), and vectors of kLanes outputs.
inline void gather_block(const float *weights, int64_t step, Vector g[9 * kLanes]) {
    for (int part = 0; part < 9; part++) {
        Vector *v = g + part * kLanes;
        for (int l = 0; l < kLanes; l++) v[l] = load(weights + l * step + part * kLanes);
        transpose(v);
    }
}
inline void scatter_block(Vector g[9 * kLanes], float *weights, int64_t step) {
    for (int part = 0; part < 9; part++) {
        Vector *v = g + part * kLanes;
        transpose(v);
        for (int l = 0; l < kLanes; l++) store(weights + l * step + part * kLanes, v[l]);
    }
}

// Packs weights for a product that sums over `depth` values: panels, in each of them rows of kPanel outputs. f(k, g) gives
// kLanes neighbouring values of k, for the outputs from `column` on.
template <typename E, int V, typename F>
void pack_weights(int64_t columns, int64_t depth, int64_t plane, E *packed, const F &f) {
    Timed timed("weights packed");
    parallel(int(columns / kPanel), [&](int panel) {
        Vector g[9 * kLanes];
        for (int half = 0; half < 2; half++)
            for (int64_t k = 0; k < depth; k += kLanes) {
                f(panel * kPanel + half * kLanes, k, g);
                for (int i = 0; i < kLanes; i += V) {
                    Vector u[V][16];
                    for (int v = 0; v < V; v++) weight_transform(g + 9 * (i + v), u[v]);
                    E *to = packed + (panel * (depth / V) + (k + i) / V) * kPanel + half * kLanes;
                    for (int p = 0; p < 16; p++) store_factor(to + p * plane, u[0][p], u[V - 1][p]);
                }
            }
    });
}

// The factors of a gradient's product that sums over tiles: columns [begin, end) of the rows of x, one row after the other.
void rows_of(const float *x, int64_t rows, int64_t step, int64_t begin, int64_t end, float *out) {
    for (int64_t i = 0; i < rows; i++)
        std::memcpy(out + i * (end - begin), x + i * step + begin, size_t(end - begin) * sizeof(float));
}
#if CRNN_BF16
void rows_of(const bfloat16 *x, int64_t rows, int64_t step, int64_t begin, int64_t end, Pair *out) {
    for (int64_t i = 0; i < rows; i += 2, out += end - begin)
        for (int64_t k = begin; k < end; k += kLanes)
            store(out + k - begin, interleave(x + i * step + k, x + (i + 1) * step + k));
}
#endif

template <typename T>
T *space(Slot slot, int64_t values) {
    return static_cast<T *>(scratch(slot, size_t(values) * sizeof(T)));
}

}  // namespace

template <typename T>
void Winograd<T>::pack(const float *weights, void *packed) const {
    pack_weights<Element, kValues>(o, c, plane(c * o / kValues), static_cast<Element *>(packed),
                                   [&](int64_t column, int64_t k, Vector *g) {
                                       gather_block(weights + (column * c + k) * 9, c * 9, g);
                                   });
}

template <typename T>
void Winograd<T>::pack_transposed(const float *weights, void *packed) const {
    pack_weights<Element, kValues>(c, o, plane(c * o / kValues), static_cast<Element *>(packed),
                                   [&](int64_t column, int64_t k, Vector *g) {
                                       for (int i = 0; i < kLanes; i++)
                                           gather(weights + ((k + i) * c + column) * 9, 9, g + 9 * i);
                                   });
}

template <typename T>
void Winograd<T>::unpack_gradient(const float *dpacked, float *dweights) const {
    Timed timed("weights packed");
    int64_t step = plane(c * o);
    parallel(int(o / kLanes), [&](int group) {
        Vector g[9 * kLanes];
        for (int64_t k = 0; k < c; k += kLanes) {
            for (int i = 0; i < kLanes; i++) {
                Vector u[16];
                for (int p = 0; p < 16; p++) u[p] = load(dpacked + p * step + (k + i) * o + group * kLanes);
                weight_transposed(u, g + 9 * i);
            }
            scatter_block(g, dweights + (group * kLanes * c + k) * 9, c * 9);
        }
    });
}

template <typename T>
void Winograd<T>::transform(int64_t n, const T *x, T *out) const {
    Timed timed("transforms");
    int64_t rows = (h + 1) / 2, columns = (w + 1) / 2, step = plane(this->rows(n) * c);
    clear_rows(out, step, n * tiles(), this->rows(n), c);
    over_tile_rows(n, rows, columns, [&](int64_t image, int64_t row, int64_t first) {
        for (int64_t j = 0; j < columns; j++) {
            const T *in[16];
            taps(x + image * h * w * c, h, w, c, row, j, in);
            T *to = out + (first + j) * c;
            for (int64_t k = 0; k < c; k += kLanes) {
                Vector d[16];
                for (int t = 0; t < 16; t++) d[t] = in[t] ? load(in[t] + k) : Vector{};
                for (int s = 0; s < 4; s++) input_line(d + s, 4);
                for (int r = 0; r < 4; r++) input_line(d + 4 * r, 1);
                for (int t = 0; t < 16; t++) store(to + t * step + k, d[t]);
            }
        }
    });
}

template <typename T>
void Winograd<T>::outputs(int64_t n, const float *products, T *y) const {
    Timed timed("transforms");
    int64_t rows = (h + 1) / 2, columns = (w + 1) / 2, step = plane(this->rows(n) * o);
    over_tile_rows(n, rows, columns, [&](int64_t image, int64_t row, int64_t first) {
        for (int64_t j = 0; j < columns; j++) {
            const float *from = products + (first + j) * o;
            T *to = y + ((image * h + 2 * row) * w + 2 * j) * o;
            bool below = 2 * row + 1 < h, right = 2 * j + 1 < w;
            for (int64_t k = 0; k < o; k += kLanes) {
                Vector m[16], t[8];
                for (int p = 0; p < 16; p++) m[p] = load(from + p * step + k);
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

template <typename T>
void Winograd<T>::transform_gradient(int64_t n, const T *dy, T *out) const {
    Timed timed("transforms");
    int64_t rows = (h + 1) / 2, columns = (w + 1) / 2, step = plane(this->rows(n) * o);
    clear_rows(out, step, n * tiles(), this->rows(n), o);
    over_tile_rows(n, rows, columns, [&](int64_t image, int64_t row, int64_t first) {
        for (int64_t j = 0; j < columns; j++) {
            const T *from = dy + ((image * h + 2 * row) * w + 2 * j) * o;
            T *to = out + (first + j) * o;
            bool below = 2 * row + 1 < h, right = 2 * j + 1 < w;
            for (int64_t k = 0; k < o; k += kLanes) {
                Vector a = load(from + k), b = right ? load(from + o + k) : Vector{};
                Vector d = below ? load(from + w * o + k) : Vector{};
                Vector e = below && right ? load(from + w * o + o + k) : Vector{};
                Vector t[8] = {a, a + d, a - d, -d, b, b + e, b - e, -e};
                for (int r = 0; r < 4; r++) {
                    T *q = to + 4 * r * step + k;
                    store(q, t[r]);
                    store(q + step, t[r] + t[4 + r]);
                    store(q + 2 * step, t[r] - t[4 + r]);
                    store(q + 3 * step, -t[4 + r]);
                }
            }
        }
    });
}

template <typename T>
void Winograd<T>::input_gradient(int64_t n, const float *products, T *dx) const {
    Timed timed("transforms");
    int64_t rows = (h + 1) / 2, columns = (w + 1) / 2, step = plane(this->rows(n) * c);
    int64_t groups = (c + kGroup - 1) / kGroup;
    parallel(int(n * groups), [&](int job) {
        int64_t image = job / groups, begin = job % groups * kGroup, end = std::min(c, begin + kGroup);
        T *target = dx + image * h * w * c;
        for (int64_t pixel = 0; pixel < h * w; pixel++)
            std::memset(target + pixel * c + begin, 0, (end - begin) * sizeof(T));
        for (int64_t tile = 0; tile < rows * columns; tile++) {
            const float *from = products + (image * rows * columns + tile) * c;
            T *to[16];
            taps(target, h, w, c, tile / columns, tile % columns, to);
            for (int64_t k = begin; k < end; k += kLanes) {
                Vector v[16];
                for (int p = 0; p < 16; p++) v[p] = load(from + p * step + k);
                for (int s = 0; s < 4; s++) input_line_transposed(v + s, 4);
                for (int r = 0; r < 4; r++) input_line_transposed(v + 4 * r, 1);
                for (int t = 0; t < 16; t++)
                    if (to[t]) add(to[t] + k, v[t]);
            }
        }
    });
}

template <typename T>
void Winograd<T>::forward(int64_t n, const T *x, const void *packed, T *y) const {
    int64_t t = rows(n), in_plane = plane(t * c), out_plane = plane(t * o), weight_plane = plane(c * o / kValues);
    int64_t depth = c / kValues;
    T *in = space<T>(kSlotWinograd, 16 * in_plane);
    float *out = space<float>(kSlotWinograd2, 16 * out_plane);
    transform(n, x, in);
    products(o, [&](int64_t p, int64_t begin, int64_t end) {
        multiply(t, (end - begin) * kPanel, depth, reinterpret_cast<const Element *>(in + p * in_plane), depth, 1,
                 static_cast<const Element *>(packed) + p * weight_plane + begin * depth * kPanel, depth * kPanel, kPanel,
                 out + p * out_plane + begin * kPanel, o, false);
    });
    outputs(n, out, y);
}

template <typename T>
void Winograd<T>::backward(int64_t n, const T *x, const T *dy, const void *transposed, float *dpacked, T *dx) const {
    int64_t t = rows(n), in_plane = plane(t * c), out_plane = plane(t * o), weight_plane = plane(c * o / kValues);
    int64_t pairs = t / kValues, depth = o / kValues;
    T *in = space<T>(kSlotWinograd, 16 * in_plane), *out = space<T>(kSlotWinograd2, 16 * out_plane);
    float *found = dx ? space<float>(kSlotWinograd3, 16 * in_plane) : nullptr;
    transform(n, x, in);
    transform_gradient(n, dy, out);
    products(c, [&](int64_t p, int64_t begin, int64_t end) {
        int64_t width = (end - begin) * kPanel;
        std::vector<Element> a(size_t(pairs * width)), b(size_t(pairs * kPanel));  // b: rows far apart share cache lines
        rows_of(in + p * in_plane, t, c, begin * kPanel, end * kPanel, a.data());
        for (int64_t j = 0; j < o / kPanel; j++) {
            rows_of(out + p * out_plane, t, o, j * kPanel, (j + 1) * kPanel, b.data());
            multiply(width, kPanel, pairs, a.data(), 1, width, b.data(), 0, kPanel,
                     dpacked + p * plane(c * o) + begin * kPanel * o + j * kPanel, o, true);
        }
        if (dx)
            multiply(t, width, depth, reinterpret_cast<const Element *>(out + p * out_plane), depth, 1,
                     static_cast<const Element *>(transposed) + p * weight_plane + begin * depth * kPanel, depth * kPanel,
                     kPanel, found + p * in_plane + begin * kPanel, c, false);
    });
    if (dx) input_gradient(n, found, dx);
}

template struct Winograd<float>;
#if CRNN_BF16
template struct Winograd<bfloat16>;
#endif

}  // namespace crnn
