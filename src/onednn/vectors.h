// Vectors as wide as the CPU's registers, over float32 and bfloat16 memory.
#pragma once
#include <cstdint>
#include <cstring>

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
    Bits bits = (Bits)v;
    Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    rounded = v == v ? rounded : Bits{} + 0x7fc0;
    Halves h = __builtin_convertvector(rounded, Halves);
    std::memcpy(p, &h, sizeof h);
}
template <typename T>
inline void add(T *p, Vector v) {
    store(p, load(p) + v);
}

}  // namespace crnn
