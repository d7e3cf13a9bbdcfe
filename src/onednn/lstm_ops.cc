// Bidirectional LSTM layer, forward and gradient, from zero states; gates in the order input, forget, cell, output.
//
// Products are in float32, or in bfloat16 with sums in float32. All tensors are float32, weights as in nn.LSTM:
// (4 H, I), (4 H, H). I and H must be multiples of 32. What a step adds to the gates by its input is one product for
// all steps; the steps themselves go through time for each direction and each part of the batch on their own.
#include <algorithm>
#include <cstring>

#include "gemm.h"
#include "runtime.h"
#include "vectors.h"

using namespace crnn;

namespace {

struct Sizes {
    int64_t t, n, i, h;
    int64_t rows() const { return t * n; }
    int64_t gates() const { return 4 * h; }
    int64_t gate_row() const { return gates() + 16; }  // rows 4 H apart would fall on few lines of the cache
    int64_t gate_floats() const { return rows() * gate_row(); }  // of one direction
    int64_t cell_floats() const { return rows() * h; }
    int64_t memory() const { return 2 * (gate_floats() + cell_floats()) * int64_t(sizeof(float)); }
    // The step that comes `step`th in a direction.
    int64_t time(int direction, int64_t step) const { return direction ? t - 1 - step : step; }
};

Sizes sizes(const Arguments &a) {
    Sizes z{a.shape(0)[0], a.shape(0)[1], a.shape(0)[2], a.shape(2)[1]};
    if (z.i % 32 || z.h % 32) throw std::runtime_error("sizes must be multiples of 32");
    return z;
}

// The activated gates (direction, T, N, gate_row) and the cell states (direction, T, N, H), kept for the gradient.
struct Kept {
    float *gates[2], *cells[2];
    Kept(const Sizes &z, float *memory) {
        for (int d = 0; d < 2; d++) {
            gates[d] = memory + d * z.gate_floats();
            cells[d] = memory + 2 * z.gate_floats() + d * z.cell_floats();
        }
    }
};

// e to the power of x, to 2 units in the last place: 2^n times a polynomial around 0 (Cephes' coefficients).
inline Vector exponential(Vector x) {
    x = x > 88.0f ? Vector{} + 88.0f : x;
    x = x < -87.0f ? Vector{} - 87.0f : x;
    Vector magic = Vector{} + 12582912.0f, n = (x * 1.44269504f + magic) - magic;  // rounds to a whole number
    Vector r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Vector p = Vector{} + 1.9875691500e-4f;
    for (float factor : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = p * r + factor;
    p = p * r * r + r + 1.0f;
    Bits power = (Bits)(__builtin_convertvector(n, Index) + 127) << 23;
    return p * (Vector)power;
}
inline Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }
inline Vector hyperbolic_tangent(Vector x) { return 2.0f / (1.0f + exponential(-2.0f * x)) - 1.0f; }

template <typename T>
using Element = typename Factor<T>::type;
template <typename T>
constexpr int kValues = Factor<T>::kValues;  // of an element

// Panels of a (columns, depth) matrix, for a product that sums over depth.
template <typename T>
void pack_rows(const float *w, int64_t columns, int64_t depth, Element<T> *packed) {
    parallel(int(columns / kPanel), [&](int panel) {
        Element<T> *to = packed + panel * depth / kValues<T> * kPanel;
        for (int half = 0; half < 2; half++)
            for (int64_t k = 0; k < depth; k += kLanes) {
                Vector v[kLanes];
                for (int l = 0; l < kLanes; l++) v[l] = load(w + (panel * kPanel + half * kLanes + l) * depth + k);
                transpose(v);
                for (int i = 0; i < kLanes; i += kValues<T>)
                    store_factor(to + (k + i) / kValues<T> * kPanel + half * kLanes, v[i], v[i + kValues<T> - 1]);
            }
    });
}

// Panels of a (depth, columns) matrix whose rows are `step` apart; a last element is filled up with zeros.
template <typename T>
void pack_columns(const float *w, int64_t step, int64_t depth, int64_t columns, Element<T> *packed) {
    constexpr int V = kValues<T>;
    int64_t elements = (depth + V - 1) / V;
    parallel(int(columns / kPanel), [&](int panel) {
        for (int64_t k = 0; k < elements; k++)
            for (int half = 0; half < 2; half++) {
                const float *from = w + k * V * step + panel * kPanel + half * kLanes;
                Vector last = k * V + V <= depth ? load(from + (V - 1) * step) : Vector{};
                store_factor(packed + (panel * elements + k) * kPanel + half * kLanes, load(from), last);
            }
    });
}

// Rows of x, `step` apart, for a product that sums along them.
void copy_rows(const float *x, int64_t step, int64_t rows, int64_t columns, float *out, int64_t out_step) {
    parallel(int(rows), [&](int i) { std::memcpy(out + i * out_step, x + i * step, size_t(columns) * sizeof(float)); });
}
#if CRNN_BF16
void copy_rows(const float *x, int64_t step, int64_t rows, int64_t columns, Pair *out, int64_t out_step) {
    parallel(int(rows), [&](int i) {
        bfloat16 *to = reinterpret_cast<bfloat16 *>(out + i * out_step);
        for (int64_t k = 0; k < columns; k += kLanes) store(to + k, load(x + i * step + k));
    });
}
#endif

// Rows of x as a product that sums along them reads them: their own place, or a copy.
template <typename T>
struct Factors {
    const float *data;
    int64_t step;
    Factors(const float *x, int64_t row_step, int64_t, int64_t) : data(x), step(row_step) {}
};
#if CRNN_BF16
template <>
struct Factors<bfloat16> {
    std::vector<Pair> memory;
    const Pair *data;
    int64_t step;
    Factors(const float *x, int64_t row_step, int64_t rows, int64_t columns)
        : memory(size_t(rows * (columns / 2 + 16))), data(memory.data()), step(columns / 2 + 16) {
        copy_rows(x, row_step, rows, columns, memory.data(), step);
    }
};
#endif

// c (m x n) = or += a b for packed panels of b, spread over the threads by rows and panels.
template <typename E>
void spread_product(int64_t m, int64_t n, int64_t k, const E *a, int64_t a_row, int64_t a_column, const E *packed,
                    float *c, int64_t c_row, bool accumulate) {
    constexpr int64_t kBlock = 96;  // rows: a block of a stays in the second-level cache
    int64_t blocks = (m + kBlock - 1) / kBlock, groups = std::min<int64_t>(n / kPanel, 4 * thread_count());
    parallel(int(blocks * groups), [&](int job) {
        int64_t first = job / groups * kBlock, begin, end;
        split(n / kPanel, int(job % groups), int(groups), begin, end);
        multiply(std::min(kBlock, m - first), (end - begin) * kPanel, k, a + first * a_row, a_row, a_column,
                 packed + begin * k * kPanel, k * kPanel, kPanel, c + first * c_row + begin * kPanel, c_row, accumulate);
    });
}

template <typename E>
E *space(Slot slot, int64_t count) {
    return static_cast<E *>(scratch(slot, size_t(count) * sizeof(E)));
}
float *floats(Slot slot, int64_t count) { return space<float>(slot, count); }

// Weights of both directions as the forward products read them, one after the other in one piece of memory.
template <typename T>
struct Packed {
    Element<T> *input[2], *state[2];
    float *bias[2];
    static int64_t size(const Sizes &z) { return 2 * z.gates() * (z.i + z.h + 1); }  // floats, at least
    Packed(const Sizes &z, float *memory) {
        for (int d = 0; d < 2; d++, memory += size(z) / 2) {
            input[d] = reinterpret_cast<Element<T> *>(memory);
            state[d] = reinterpret_cast<Element<T> *>(memory + z.gates() * z.i);
            bias[d] = memory + z.gates() * (z.i + z.h);
        }
    }
};

template <typename T>
void pack(const Arguments &a, const Sizes &z, float *memory) {
    Timed timed("weights packed");
    Packed<T> packed(z, memory);
    for (int d = 0; d < 2; d++) {
        pack_rows<T>(a.at<float>(1 + 4 * d), z.gates(), z.i, packed.input[d]);
        pack_rows<T>(a.at<float>(2 + 4 * d), z.gates(), z.h, packed.state[d]);
        const float *ih = a.at<float>(3 + 4 * d), *hh = a.at<float>(4 + 4 * d);
        for (int64_t k = 0; k < z.gates(); k++) packed.bias[d][k] = ih[k] + hh[k];
    }
}

// The part of the batch that a job has: every direction's batch is cut into equal parts.
struct Part {
    int direction;
    int64_t begin, end;
    Part(const Sizes &z, int job, int parts) : direction(job / parts) { split(z.n, job % parts, parts, begin, end); }
    int64_t count() const { return end - begin; }
};

int parts_of_batch(const Sizes &z) { return int(std::min<int64_t>(z.n, (thread_count() + 1) / 2)); }

// One step of a part: gates from sums to activated, and the new cell and hidden states.
void step_forward(const Sizes &z, int64_t count, float *gates, const float *old_cell, float *cell, float *hidden) {
    for (int64_t row = 0; row < count; row++) {
        float *g = gates + row * z.gate_row();
        for (int64_t k = 0; k < z.h; k += kLanes) {
            Vector i = sigmoid(load(g + k)), f = sigmoid(load(g + z.h + k));
            Vector u = hyperbolic_tangent(load(g + 2 * z.h + k)), o = sigmoid(load(g + 3 * z.h + k));
            Vector c = i * u + (old_cell ? f * load(old_cell + row * z.h + k) : Vector{});
            store(g + k, i);
            store(g + z.h + k, f);
            store(g + 2 * z.h + k, u);
            store(g + 3 * z.h + k, o);
            store(cell + row * z.h + k, c);
            store(hidden + row * 2 * z.h + k, o * hyperbolic_tangent(c));
        }
    }
}

template <typename T>
void forward(const Arguments &a, const Sizes &z, const Packed<T> &packed, const Kept &kept, float *y, float *h, float *c) {
    {
        Timed timed("input products");
        int64_t depth = z.i / kValues<T>, row = depth + 16;  // further apart than in x: their places in the cache differ
        Element<T> *x = space<Element<T>>(kSlotInput, z.rows() * row);
        copy_rows(a.at<float>(0), z.i, z.rows(), z.i, x, row);
        for (int d = 0; d < 2; d++) {
            parallel(int(z.t), [&](int t) {
                for (int64_t n = 0; n < z.n; n++)
                    std::memcpy(kept.gates[d] + (t * z.n + n) * z.gate_row(), packed.bias[d],
                                size_t(z.gates()) * sizeof(float));
            });
            spread_product(z.rows(), z.gates(), depth, x, row, 1, packed.input[d], kept.gates[d], z.gate_row(), true);
        }
    }
    Timed timed("steps");
    int parts = parts_of_batch(z);
    parallel(2 * parts, [&](int job) {
        Part p(z, job, parts);
        int d = p.direction;
        for (int64_t step = 0; step < z.t; step++) {
            int64_t now = z.time(d, step) * z.n + p.begin, before = step ? z.time(d, step - 1) * z.n + p.begin : 0;
            float *gates = kept.gates[d] + now * z.gate_row(), *hidden = y + now * 2 * z.h + d * z.h;
            if (step) {
                const Factors<T> states(y + before * 2 * z.h + d * z.h, 2 * z.h, p.count(), z.h);
                multiply(p.count(), z.gates(), z.h / kValues<T>, states.data, states.step, 1, packed.state[d],
                         z.h / kValues<T> * kPanel, kPanel, gates, z.gate_row(), true);
            }
            step_forward(z, p.count(), gates, step ? kept.cells[d] + before * z.h : nullptr, kept.cells[d] + now * z.h,
                         hidden);
        }
        int64_t last = z.time(d, z.t - 1) * z.n;
        for (int64_t n = p.begin; n < p.end; n++) {
            std::memcpy(h + (d * z.n + n) * z.h, y + (last + n) * 2 * z.h + d * z.h, size_t(z.h) * sizeof(float));
            std::memcpy(c + (d * z.n + n) * z.h, kept.cells[d] + (last + n) * z.h, size_t(z.h) * sizeof(float));
        }
    });
}

// One step of a part backwards: the gradient of the gates' sums from those of the states; `dcell` goes on to the step
// before.
void step_backward(const Sizes &z, int64_t count, const float *gates, const float *cell, const float *old_cell,
                   const float *dy, const float *dhidden, float *dcell, float *dgates) {
    for (int64_t row = 0; row < count; row++) {
        const float *g = gates + row * z.gate_row();
        float *dg = dgates + row * z.gate_row();
        for (int64_t k = 0; k < z.h; k += kLanes) {
            Vector i = load(g + k), f = load(g + z.h + k), u = load(g + 2 * z.h + k), o = load(g + 3 * z.h + k);
            Vector t = hyperbolic_tangent(load(cell + row * z.h + k));
            Vector dh = load(dy + row * 2 * z.h + k) + load(dhidden + row * z.h + k);
            Vector dc = load(dcell + row * z.h + k) + dh * o * (1.0f - t * t);
            Vector old = old_cell ? load(old_cell + row * z.h + k) : Vector{};
            store(dg + k, dc * u * i * (1.0f - i));
            store(dg + z.h + k, dc * old * f * (1.0f - f));
            store(dg + 2 * z.h + k, dc * i * (1.0f - u * u));
            store(dg + 3 * z.h + k, dh * t * o * (1.0f - o));
            store(dcell + row * z.h + k, dc * f);
        }
    }
}

template <typename T>
void steps_backward(const Sizes &z, const Kept &kept, const float *dy, const float *dh, const float *dc,
                    Element<T> *const states[2], float *const dgates[2]) {
    Timed timed("steps");
    int parts = parts_of_batch(z);
    parallel(2 * parts, [&](int job) {
        Part p(z, job, parts);
        int d = p.direction;
        int64_t size = p.count() * z.h;
        const float *end_hidden = dh + (d * z.n + p.begin) * z.h, *end_cell = dc + (d * z.n + p.begin) * z.h;
        std::vector<float> dhidden(end_hidden, end_hidden + size), dcell(end_cell, end_cell + size);
        for (int64_t step = z.t - 1; step >= 0; step--) {
            int64_t now = z.time(d, step) * z.n + p.begin, before = step ? z.time(d, step - 1) * z.n + p.begin : 0;
            float *dg = dgates[d] + now * z.gate_row();
            step_backward(z, p.count(), kept.gates[d] + now * z.gate_row(), kept.cells[d] + now * z.h,
                          step ? kept.cells[d] + before * z.h : nullptr, dy + now * 2 * z.h + d * z.h, dhidden.data(),
                          dcell.data(), dg);
            if (step) {
                const Factors<T> own(dg, z.gate_row(), p.count(), z.gates());
                int64_t depth = z.gates() / kValues<T>;
                multiply(p.count(), z.h, depth, own.data, own.step, 1, states[d], depth * kPanel, kPanel, dhidden.data(),
                         z.h, false);
            }
        }
    });
}

// Sums of all rows, in double precision.
void sum_rows(const float *x, int64_t step, int64_t rows, int64_t columns, float *out) {
    parallel(int(columns / kPanel), [&](int panel) {
        double sum[kPanel] = {};
        for (int64_t r = 0; r < rows; r++)
            for (int l = 0; l < kPanel; l++) sum[l] += x[r * step + panel * kPanel + l];
        for (int l = 0; l < kPanel; l++) out[panel * kPanel + l] = static_cast<float>(sum[l]);
    });
}

template <typename T>
void train_forward(const Arguments &a) {
    a.expect(13);
    timed_prefix = "LSTM: ";
    Sizes z = sizes(a);
    float *weights = floats(kSlotWeights, Packed<T>::size(z));
    pack<T>(a, z, weights);
    forward(a, z, Packed<T>(z, weights), Kept(z, a.at<float>(12)), a.at<float>(9), a.at<float>(10), a.at<float>(11));
}

// The left factor of a product that sums over rows of x, and its step from one element along them to the next.
const float *summed_rows(const float *x, int64_t step, int64_t, int64_t, float, int64_t &element_step) {
    element_step = step;
    return x;
}
#if CRNN_BF16
const Pair *summed_rows(const float *x, int64_t step, int64_t rows, int64_t columns, bfloat16, int64_t &element_step) {
    element_step = columns + 16;
    Pair *out = space<Pair>(kSlotState2, (rows + 1) / 2 * element_step);
    parallel(int((rows + 1) / 2), [&](int pair) {
        const float *from = x + 2 * pair * step;
        for (int64_t k = 0; k < columns; k += kLanes)
            store_factor(out + pair * element_step + k, load(from + k),
                         2 * pair + 1 < rows ? load(from + step + k) : Vector{});
    });
    return out;
}
#endif

template <typename T>
void train_backward(const Arguments &a) {
    a.expect(21);
    timed_prefix = "LSTM backward: ";
    using E = Element<T>;
    constexpr int V = kValues<T>;
    Sizes z = sizes(a);
    const float *x = a.at<float>(0), *y = a.at<float>(9);
    Kept kept(z, a.at<float>(10));
    int64_t row = z.gate_row(), depth = z.gates() / V;
    float *gradient = floats(kSlotDiff, 2 * z.rows() * row);
    float *const dgates[2] = {gradient, gradient + z.rows() * row};
    E *states = space<E>(kSlotWeights, 2 * depth * z.h);
    E *const packed_states[2] = {states, states + depth * z.h};
    {
        Timed timed("weights packed");
        for (int d = 0; d < 2; d++)
            pack_columns<T>(a.at<float>(2 + 4 * d), z.h, z.gates(), z.h, packed_states[d]);
    }
    steps_backward<T>(z, kept, a.at<float>(11), a.at<float>(12), a.at<float>(13), packed_states, dgates);
    Timed timed("products");
    E *panels = space<E>(kSlotWeights2, std::max(depth, z.rows()) * std::max(z.i, z.h));
    for (int d = 0; d < 2; d++) {
        const Factors<T> own(dgates[d], row, z.rows(), z.gates());
        pack_columns<T>(a.at<float>(1 + 4 * d), z.i, z.gates(), z.i, panels);
        spread_product(z.rows(), z.i, depth, own.data, own.step, 1, panels, a.at<float>(14), z.i, d > 0);
    }
    // Sums over the rows, of the gates' gradients with what met them; a last element is filled up with zeros.
    auto weights = [&](const float *gates, const float *met, int64_t step, int64_t columns, int64_t rows, float *out) {
        int64_t element_step;
        const E *left = summed_rows(gates, row, rows, z.gates(), T(), element_step);
        pack_columns<T>(met, step, rows, columns, panels);
        spread_product(z.gates(), columns, (rows + V - 1) / V, left, 1, element_step, panels, out, columns, false);
    };
    for (int d = 0; d < 2; d++) {
        weights(dgates[d], x, z.i, z.i, z.rows(), a.at<float>(15 + 3 * d));
        // A step's gates meet the states of the step before it; the first step of a direction has none.
        int64_t gates_from = d ? 0 : z.n, states_from = d ? z.n : 0;
        weights(dgates[d] + gates_from * row, y + states_from * 2 * z.h + d * z.h, 2 * z.h, z.h, z.rows() - z.n,
                a.at<float>(16 + 3 * d));
        sum_rows(dgates[d], row, z.rows(), z.gates(), a.at<float>(17 + 3 * d));
    }
}

}  // namespace

extern "C" int64_t crnn_lstm_memory(int64_t t, int64_t n, int64_t i, int64_t h) { return Sizes{t, n, i, h}.memory(); }

// x, (w_ih, w_hh, b_ih, b_hh) forwards, the same backwards in time
// -> y (T, N, 2 H), h (2, N, H), c (2, N, H), memory for the gradient
CRNN_OPERATOR(crnn_lstm_training) { train_forward<float>(a); }

// as for training, then a tensor of one number: 0, or one that stands for a layer whose weights do not change any more
// -> y, h, c
CRNN_OPERATOR(crnn_lstm_evaluation) {
    a.expect(13);
    timed_prefix = "LSTM: ";
    Sizes z = sizes(a);
    int64_t layer = int64_t(*a.at<float>(9));
    std::shared_ptr<float> own;
    if (layer == 0) {
        pack<float>(a, z, floats(kSlotWeights, Packed<float>::size(z)));
    } else {
        own = frozen<float>({layer, z.i, z.h}, [&] {
            std::shared_ptr<float> memory = allocate<float>(Packed<float>::size(z));
            pack<float>(a, z, memory.get());
            return memory;
        });
    }
    Packed<float> packed(z, own ? own.get() : floats(kSlotWeights, Packed<float>::size(z)));
    forward(a, z, packed, Kept(z, floats(kSlotState, z.memory() / int64_t(sizeof(float)))), a.at<float>(10),
            a.at<float>(11), a.at<float>(12));
}

// the 9 inputs of the forward operator, y and memory, which it gave, dy, dh, dc
// -> dx, dw_ih, dw_hh, dbias forwards, dw_ih, dw_hh, dbias backwards in time
CRNN_OPERATOR(crnn_lstm_gradient) { train_backward<float>(a); }

// The same with products in bfloat16 where the CPU has them.
#if CRNN_BF16
CRNN_OPERATOR(crnn_lstm_training_bf16) { train_forward<bfloat16>(a); }
CRNN_OPERATOR(crnn_lstm_gradient_bf16) { train_backward<bfloat16>(a); }
#else
CRNN_OPERATOR(crnn_lstm_training_bf16) { train_forward<float>(a); }
CRNN_OPERATOR(crnn_lstm_gradient_bf16) { train_backward<float>(a); }
#endif
