// What all operators share: the thread pool, scratch memory, and primitives kept per shape.
#pragma once
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "dnnl_abi.h"

namespace crnn {

using Dims = std::vector<int64_t>;

// Throws std::runtime_error naming `what` unless `status` is 0.
void check(int status, const char *what);

int thread_count();
// Calls f(i) for i in [0, n), spread over the threads.
void parallel(int n, const std::function<void(int)> &f);

// One part of [0, total) for part i of n; parts differ by at most one.
inline void split(int64_t total, int i, int n, int64_t &begin, int64_t &end) {
    begin = total * i / n;
    end = total * (i + 1) / n;
}

// Scratch memory that grows and stays; the slots of one operator call must differ. Guarded by the operator lock.
enum Slot { kSlotPrimitive, kSlotInput, kSlotOutput, kSlotWeights, kSlotWeights2, kSlotWeights3, kSlotWeights4,
            kSlotState, kSlotState2, kSlotState3, kSlotState4, kSlotDiff, kSlotDiff2, kSlotDiff3, kSlotDiff4, kSlotDiff5,
            kSlotDiff6, kSlotWinograd, kSlotWinograd2, kSlotWinograd3, kSlotImage, kSlotCount };
void *scratch(Slot slot, size_t bytes);

// A memory descriptor (layout). Copies share the library's object.
class Layout {
  public:
    Layout() = default;
    static Layout strided(const Dims &dims, int data_type, const Dims &strides);
    static Layout dense(const Dims &dims, int data_type);  // row-major
    static Layout any(const Dims &dims, int data_type);    // the library chooses
    static Layout copy_of(const dnnl_memory_desc *desc);
    const dnnl_memory_desc *get() const { return desc_.get(); }
    size_t bytes() const { return desc_ ? dnnl_memory_desc_get_size(desc_.get()) : 0; }
    bool operator==(const Layout &other) const { return dnnl_memory_desc_equal(get(), other.get()) != 0; }

  private:
    explicit Layout(dnnl_memory_desc *desc) : desc_(desc, dnnl_memory_desc_destroy) {}
    std::shared_ptr<dnnl_memory_desc> desc_;
};

dnnl_engine *engine();
const dnnl_primitive_attr *attributes();  // scratch memory is handed in by the caller

// A compiled primitive of one shape.
class Primitive {
  public:
    struct Argument {
        int id;
        const void *data;
    };
    Primitive() = default;
    explicit Primitive(dnnl_primitive_desc *description);  // takes it over
    Layout layout(int argument) const;
    std::string implementation() const;
    const dnnl_primitive_desc *description() const { return description_.get(); }
    void run(const std::vector<Argument> &arguments) const;

  private:
    std::shared_ptr<dnnl_primitive_desc> description_;
    std::shared_ptr<dnnl_primitive> primitive_;
    Layout scratchpad_;
};

// Brings data from one layout (and type) to another; does nothing where they are equal.
class Reorder {
  public:
    Reorder() = default;
    Reorder(const Layout &from, const Layout &to);
    // The data in the new layout: `data` itself, or a copy in `slot`.
    const void *into(const void *data, Slot slot) const;
    // Where a primitive must write so that `finish` can bring it to `data`.
    void *target(void *data, Slot slot) const;
    void finish(const void *source, void *data) const;

  private:
    bool same_ = true;
    size_t from_bytes_ = 0, to_bytes_ = 0;
    Layout from_, to_;
    Primitive primitive_;
};

// Primitives of type T kept per key. Guarded by the operator lock.
template <typename T>
T &cached(const Dims &key, const std::function<T()> &make) {
    static std::map<Dims, T> *cache = new std::map<Dims, T>;  // never freed: threads may outlive static destructors
    auto found = cache->find(key);
    if (found != cache->end()) return found->second;
    if (cache->size() >= 512) cache->clear();  // many widths: start again rather than grow without bound
    return cache->emplace(key, make()).first->second;
}

template <typename T>
std::shared_ptr<T> allocate(int64_t count) {
    size_t bytes = (size_t(count) * sizeof(T) + 63) / 64 * 64;
    void *memory = std::aligned_alloc(64, bytes);
    if (!memory) throw std::runtime_error("out of memory");
    return std::shared_ptr<T>(static_cast<T *>(memory), std::free);
}

// What was made once for a network whose parameters do not change any more, kept per key; only that of the last few
// networks stays.
template <typename T>
std::shared_ptr<T> frozen(const Dims &key, const std::function<std::shared_ptr<T>()> &make) {
    static auto *kept = new std::vector<std::pair<Dims, std::shared_ptr<T>>>;
    for (auto &entry : *kept)
        if (entry.first == key) return entry.second;
    if (kept->size() >= 8) kept->erase(kept->begin());
    kept->emplace_back(key, make());
    return kept->back().second;
}

// Adds the CPU time of all threads between its construction and its end to the time of a part, while times are kept (see
// crnn_times). Only for the thread that runs an operator.
class Timed {
  public:
    explicit Timed(const char *part);
    ~Timed();

  private:
    const char *part_;
    double start_;
};
extern std::string timed_prefix;  // what the parts belong to

// Runs an operator's body: one at a time (each uses all cores), errors become a message and a status.
int guarded(const char *name, const std::function<void()> &body);

// The arguments of an operator as MindSpore hands them over: inputs first, then outputs.
struct Arguments {
    int count;
    void **data;
    int *ndims;
    int64_t **shapes;
    const char **types;
    Dims shape(int i) const { return Dims(shapes[i], shapes[i] + ndims[i]); }
    template <typename T>
    T *at(int i) const {
        return static_cast<T *>(data[i]);
    }
    // kF32 or kBf16
    int type(int i) const;
    void expect(int n) const {
        if (count != n) throw std::runtime_error("wrong number of arguments");
    }
};

}  // namespace crnn

#define CRNN_OPERATOR(name)                                                                                      \
    static void name##_body(const crnn::Arguments &a);                                                           \
    extern "C" int name(int n, void **data, int *ndims, int64_t **shapes, const char **types, void *, void *) {  \
        return crnn::guarded(#name, [&] { name##_body(crnn::Arguments{n, data, ndims, shapes, types}); });       \
    }                                                                                                            \
    static void name##_body(const crnn::Arguments &a)
