// Vectors as wide as the CPU's registers, over float32 and bfloat16 memory.
#pragma once
#include <cstdint>
#include <cstring>

// Whether the CPU multiplies bfloat16 in registers of 512 bits; other CPUs leave such products to oneDNN.
#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define CRNN_BF16 1
#include <immintrin.h>
#else
#define CRNN_BF16 0
#endif

namespace crnn {

struct bfloat16 {
    uint16_t bits;
};

// Wider vectors than the registers would be taken apart by the compiler, through memory.
#if defined(__AVX512F__)
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif
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
    return (Vector)bits;  // the same bits
}
inline void store(float *p, Vector v) { std::memcpy(p, &v, sizeof v); }
inline void store(bfloat16 *p, Vector v) {  // round to nearest even, NaN stays NaN
#if CRNN_BF16
    __m256bh h = _mm512_cvtneps_pbh((__m512)v);
#else
    Bits bits = (Bits)v;
    Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    rounded = v == v ? rounded : Bits{} + 0x7fc0;
    Halves h = __builtin_convertvector(rounded, Halves);
#endif
    std::memcpy(p, &h, sizeof h);
}
template <typename T>
inline void add(T *p, Vector v) {
    store(p, load(p) + v);
}

// Turns kLanes vectors into their columns.
inline void transpose(Vector v[kLanes]) {
#pragma GCC unroll 4
    for (int step = 1; step < kLanes; step *= 2) {
        Index low, high;  // lanes of the two rows, the second's behind the first's
        for (int l = 0; l < kLanes; l++) {
            low[l] = l & step ? kLanes + l - step : l;
            high[l] = l & step ? kLanes + l : l + step;
        }
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; i++) {
            if (i & step) continue;
            Vector a = v[i], b = v[i + step];
            v[i] = __builtin_shuffle(a, b, low);
            v[i + step] = __builtin_shuffle(a, b, high);
        }
    }
}

#if CRNN_BF16
struct Pair {  // two bfloat16, the first in the lower half
    uint32_t bits;
};
typedef Bits Pairs;

inline Pairs load(const Pair *p) {
    Pairs v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline void store(Pair *p, Pairs v) { std::memcpy(p, &v, sizeof v); }
// Pairs of kLanes values of two rows.
inline Pairs interleave(const bfloat16 *first, const bfloat16 *second) {
    return (Bits)load(first) >> 16 | (Bits)load(second);
}
inline Pairs interleave(Vector first, Vector second) {
    Halves a = (Halves)_mm512_cvtneps_pbh((__m512)first), b = (Halves)_mm512_cvtneps_pbh((__m512)second);
    return __builtin_convertvector(a, Bits) | __builtin_convertvector(b, Bits) << 16;
}
#endif

}  // namespace crnn
