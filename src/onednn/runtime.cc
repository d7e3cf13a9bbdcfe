// Thread pool, scratch memory and primitives over oneDNN's C interface.
#include "runtime.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace crnn {

void check(int status, const char *what) {
    if (status != 0) throw std::runtime_error(std::string(what) + ": oneDNN status " + std::to_string(status));
}

int asked_threads = 0;

int thread_count() {
    static const int count = [] {
        cpu_set_t set;
        int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
        return std::max(1, asked_threads > 0 ? std::min(asked_threads, cores) : cores);
    }();
    return count;
}

namespace {

thread_local bool in_parallel = false;

// Threads that sleep between operators and spin only for moments: the cores may be shared.
class Pool : public dnnl::threadpool_interop::threadpool_iface {
  public:
    int get_num_threads() const override { return thread_count(); }
    bool get_in_parallel() const override { return in_parallel; }
    uint64_t get_flags() const override { return 0; }
    void wait() override {}

    void parallel_for(int n, const std::function<void(int, int)> &f) override {
        if (n <= 1 || in_parallel || thread_count() == 1) {
            bool before = in_parallel;
            in_parallel = true;
            for (int i = 0; i < n; i++) f(i, n);
            in_parallel = before;
            return;
        }
        start_threads();
        {
            std::lock_guard<std::mutex> lock(mutex_);
            job_ = &f;
            size_ = n;
            next_.store(0);
            round_.fetch_add(1);
        }
        wake_.notify_all();
        work(f, n);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            job_ = nullptr;  // whoever wakes up from now on goes back to sleep: nobody waits for a late thread
        }
        for (int spin = 0; active_.load(std::memory_order_acquire) > 0; spin++) {
            if (spin > kSpins) std::this_thread::yield();
            pause();
        }
    }

  private:
    static constexpr int kSpins = 2000;
    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }

    void start_threads() {
        if (owner_ == getpid()) return;  // a fork leaves the threads behind
        owner_ = getpid();
        for (int i = 1; i < thread_count(); i++) std::thread([this] { loop(); }).detach();
    }

    void work(const std::function<void(int, int)> &f, int n) {
        in_parallel = true;
        for (int i; (i = next_.fetch_add(1)) < n;) f(i, n);
        in_parallel = false;
    }

    void loop() {
        uint64_t seen = 0;
        for (;;) {
            for (int spin = 0; spin < kSpins && round_.load(std::memory_order_acquire) == seen; spin++) pause();
            const std::function<void(int, int)> *job;
            int size;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return round_.load() != seen; });
                seen = round_.load();
                job = job_;
                size = size_;
                if (job) active_.fetch_add(1);
            }
            if (!job) continue;
            work(*job, size);
            active_.fetch_sub(1, std::memory_order_release);
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    const std::function<void(int, int)> *job_ = nullptr;
    int size_ = 0;
    pid_t owner_ = 0;
    std::atomic<int> next_{0}, active_{0};
    std::atomic<uint64_t> round_{0};
};

Pool *pool() {
    static Pool *instance = new Pool;  // never destroyed: its threads may run until the process ends
    return instance;
}

dnnl_stream *stream() {
    static dnnl_stream *instance = [] {
        dnnl_stream *s = nullptr;
        check(dnnl_threadpool_interop_stream_create(&s, engine(), pool()), "stream");
        return s;
    }();
    return instance;
}

Dims row_major(const Dims &dims) {
    Dims strides(dims.size());
    int64_t step = 1;
    for (size_t i = dims.size(); i-- > 0;) {
        strides[i] = step;
        step *= dims[i];
    }
    return strides;
}

struct DnnlDims {
    dnnl_dims_t v = {};
    explicit DnnlDims(const Dims &dims) { std::copy(dims.begin(), dims.end(), v); }
};

}  // namespace

void parallel(int n, const std::function<void(int)> &f) {
    pool()->parallel_for(n, [&](int i, int) { f(i); });
}

void *scratch(Slot slot, size_t bytes) {
    static struct {
        void *data = nullptr;
        size_t size = 0;
    } slots[kSlotCount];
    auto &s = slots[slot];
    if (s.size < bytes) {
        std::free(s.data);
        constexpr size_t kHuge = 2 << 20;  // large buffers on huge pages: transforms walk over 16 places at a time
        size_t unit = bytes < kHuge ? 4096 : kHuge;
        s.size = (bytes + unit - 1) / unit * unit;
        s.data = std::aligned_alloc(unit, s.size);
        if (s.data && unit == kHuge) madvise(s.data, s.size, MADV_HUGEPAGE);  // a wish; without it all works the same
        if (!s.data) {
            s.size = 0;
            throw std::runtime_error("out of memory");
        }
    }
    return s.data;
}

Layout Layout::strided(const Dims &dims, int data_type, const Dims &strides) {
    dnnl_memory_desc *desc = nullptr;
    check(dnnl_memory_desc_create_with_strides(&desc, static_cast<int>(dims.size()), DnnlDims(dims).v, data_type,
                                               DnnlDims(strides).v),
          "layout");
    return Layout(desc);
}

Layout Layout::dense(const Dims &dims, int data_type) { return strided(dims, data_type, row_major(dims)); }

Layout Layout::any(const Dims &dims, int data_type) {
    dnnl_memory_desc *desc = nullptr;
    check(dnnl_memory_desc_create_with_tag(&desc, static_cast<int>(dims.size()), DnnlDims(dims).v, data_type, kAny),
          "layout");
    return Layout(desc);
}

Layout Layout::copy_of(const dnnl_memory_desc *source) {
    dnnl_memory_desc *desc = nullptr;
    check(dnnl_memory_desc_clone(&desc, source), "layout");
    return Layout(desc);
}

dnnl_engine *engine() {
    static dnnl_engine *instance = [] {
        dnnl_engine *e = nullptr;
        check(dnnl_engine_create(&e, kCpu, 0), "engine");
        return e;
    }();
    // Primitives are planned for as many threads as will run them; the setting belongs to the calling thread.
    thread_local bool told = (dnnl_threadpool_interop_set_max_concurrency(thread_count()), true);
    (void)told;
    return instance;
}

const dnnl_primitive_attr *attributes() {
    static dnnl_primitive_attr *instance = [] {
        dnnl_primitive_attr *a = nullptr;
        check(dnnl_primitive_attr_create(&a), "attributes");
        check(dnnl_primitive_attr_set_scratchpad_mode(a, kUserScratchpad), "attributes");
        return a;
    }();
    return instance;
}

Primitive::Primitive(dnnl_primitive_desc *description) : description_(description, dnnl_primitive_desc_destroy) {
    dnnl_primitive *primitive = nullptr;
    check(dnnl_primitive_create(&primitive, description), "primitive");
    primitive_.reset(primitive, dnnl_primitive_destroy);
    scratchpad_ = Layout::copy_of(dnnl_primitive_desc_query_md(description, kQueryScratchpad, 0));
}

Layout Primitive::layout(int argument) const {
    return Layout::copy_of(dnnl_primitive_desc_query_md(description_.get(), kQueryArg, argument));
}

std::string Primitive::implementation() const {
    const char *name = nullptr;
    check(dnnl_primitive_desc_query(description_.get(), kQueryImpl, 0, &name), "query");
    return name;
}

void Primitive::run(const std::vector<Argument> &arguments) const {
    std::vector<dnnl_exec_arg_t> list;
    std::vector<std::shared_ptr<dnnl_memory>> owned;
    auto add = [&](int id, const Layout &layout, const void *data) {
        dnnl_memory *memory = nullptr;
        check(dnnl_memory_create(&memory, layout.get(), engine(), const_cast<void *>(data)), "memory");
        owned.emplace_back(memory, dnnl_memory_destroy);
        list.push_back({id, memory});
    };
    for (const Argument &argument : arguments) add(argument.id, layout(argument.id), argument.data);
    if (scratchpad_.bytes() > 0) add(kArgScratchpad, scratchpad_, scratch(kSlotPrimitive, scratchpad_.bytes()));
    check(dnnl_primitive_execute(primitive_.get(), stream(), static_cast<int>(list.size()), list.data()), "execute");
    check(dnnl_stream_wait(stream()), "wait");
}

Reorder::Reorder(const Layout &from, const Layout &to)
    : same_(from == to), from_bytes_(from.bytes()), to_bytes_(to.bytes()), from_(from), to_(to) {
    if (same_) return;
    dnnl_primitive_desc *description = nullptr;
    check(dnnl_reorder_primitive_desc_create(&description, from.get(), engine(), to.get(), engine(), attributes()),
          "reorder");
    primitive_ = Primitive(description);
}

const void *Reorder::into(const void *data, Slot slot) const {
    if (same_) return data;
    void *copy = scratch(slot, to_bytes_);
    primitive_.run({{kArgSrc, data}, {kArgDst, copy}});
    return copy;
}

void *Reorder::target(void *data, Slot slot) const { return same_ ? data : scratch(slot, from_bytes_); }

void Reorder::finish(const void *source, void *data) const {
    if (!same_) primitive_.run({{kArgSrc, source}, {kArgDst, data}});
}

int Arguments::type(int i) const {
    if (std::strcmp(types[i], "float32") == 0) return kF32;
    if (std::strcmp(types[i], "bfloat16") == 0) return kBf16;
    throw std::runtime_error(std::string("unexpected type ") + types[i]);
}

std::string timed_prefix;

namespace {

bool keep_times = false;
std::map<std::string, double> *times = new std::map<std::string, double>;

double cpu_milliseconds() {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return double(t.tv_sec) * 1e3 + double(t.tv_nsec) * 1e-6;
}

}  // namespace

Timed::Timed(const char *part) : part_(part), start_(keep_times ? cpu_milliseconds() : 0) {}

Timed::~Timed() {
    if (keep_times) (*times)[timed_prefix + part_] += cpu_milliseconds() - start_;
}

int guarded(const char *name, const std::function<void()> &body) {
    static std::mutex *lock = new std::mutex;
    std::lock_guard<std::mutex> hold(*lock);
    try {
        timed_prefix.clear();
        body();
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
        return 1;
    }
}

}  // namespace crnn

// Starts to keep the CPU times of the operators' parts, and writes those kept so far: lines of part, tab, milliseconds.
extern "C" void crnn_times(char *text, size_t size) {
    std::string all;
    for (const auto &entry : *crnn::times) all += entry.first + "\t" + std::to_string(entry.second) + "\n";
    std::snprintf(text, size, "%s", all.c_str());
    crnn::times->clear();
    crnn::keep_times = true;
}

// The library's version as major * 10000 + minor * 100 + patch; the layout of its interface is known for 3.x.
// Threads of all operators, 0 for one per core; counts until the first operator runs. Not read from OMP_NUM_THREADS
// here: MindSpore sets that variable to 1 in its own process.
extern "C" void crnn_set_threads(int count) { crnn::asked_threads = count; }

extern "C" int crnn_onednn_version() {
    const dnnl_version_t *v = dnnl_version();
    return v->major * 10000 + v->minor * 100 + v->patch;
}

// Whether the library has kernels for bfloat16 on this CPU.
extern "C" int crnn_onednn_bf16() {
    int isa = dnnl_get_effective_cpu_isa();
    return (isa & kIsaAvx512Bf16) == kIsaAvx512Bf16 || (isa & kIsaAvx2Vnni2) == kIsaAvx2Vnni2;
}
