// The part of the oneDNN 3.x C interface used here, declared from its documentation, so that nothing has to be
// installed: MindSpore's wheel brings the library without headers. The version is checked when the library is loaded.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

extern "C" {
struct dnnl_engine;
struct dnnl_stream;
struct dnnl_memory;
struct dnnl_memory_desc;
struct dnnl_primitive;
struct dnnl_primitive_desc;
struct dnnl_primitive_attr;

typedef int64_t dnnl_dims_t[12];

struct dnnl_version_t {
    int major, minor, patch;
    const char *hash;
    unsigned cpu_runtime, gpu_runtime;
};

struct dnnl_exec_arg_t {
    int arg;
    dnnl_memory *memory;
};

const dnnl_version_t *dnnl_version();
int dnnl_get_effective_cpu_isa();

int dnnl_engine_create(dnnl_engine **, int kind, size_t index);
int dnnl_threadpool_interop_stream_create(dnnl_stream **, dnnl_engine *, void *threadpool);
int dnnl_threadpool_interop_set_max_concurrency(int);
int dnnl_stream_wait(dnnl_stream *);

int dnnl_memory_desc_create_with_strides(dnnl_memory_desc **, int ndims, const dnnl_dims_t dims, int data_type,
                                         const dnnl_dims_t strides);
int dnnl_memory_desc_create_with_tag(dnnl_memory_desc **, int ndims, const dnnl_dims_t dims, int data_type, int tag);
int dnnl_memory_desc_clone(dnnl_memory_desc **, const dnnl_memory_desc *);
int dnnl_memory_desc_destroy(dnnl_memory_desc *);
int dnnl_memory_desc_equal(const dnnl_memory_desc *, const dnnl_memory_desc *);
size_t dnnl_memory_desc_get_size(const dnnl_memory_desc *);
int dnnl_memory_create(dnnl_memory **, const dnnl_memory_desc *, dnnl_engine *, void *handle);
int dnnl_memory_destroy(dnnl_memory *);

int dnnl_primitive_attr_create(dnnl_primitive_attr **);
int dnnl_primitive_attr_set_scratchpad_mode(dnnl_primitive_attr *, int mode);

int dnnl_reorder_primitive_desc_create(dnnl_primitive_desc **, const dnnl_memory_desc *src, dnnl_engine *,
                                       const dnnl_memory_desc *dst, dnnl_engine *, const dnnl_primitive_attr *);
int dnnl_convolution_forward_primitive_desc_create(
        dnnl_primitive_desc **, dnnl_engine *, int prop_kind, int algorithm, const dnnl_memory_desc *src,
        const dnnl_memory_desc *weights, const dnnl_memory_desc *bias, const dnnl_memory_desc *dst,
        const dnnl_dims_t strides, const dnnl_dims_t dilates, const dnnl_dims_t pad_begin, const dnnl_dims_t pad_end,
        const dnnl_primitive_attr *);
int dnnl_convolution_backward_data_primitive_desc_create(
        dnnl_primitive_desc **, dnnl_engine *, int algorithm, const dnnl_memory_desc *diff_src,
        const dnnl_memory_desc *weights, const dnnl_memory_desc *diff_dst, const dnnl_dims_t strides,
        const dnnl_dims_t dilates, const dnnl_dims_t pad_begin, const dnnl_dims_t pad_end,
        const dnnl_primitive_desc *forward_hint, const dnnl_primitive_attr *);
int dnnl_convolution_backward_weights_primitive_desc_create(
        dnnl_primitive_desc **, dnnl_engine *, int algorithm, const dnnl_memory_desc *src,
        const dnnl_memory_desc *diff_weights, const dnnl_memory_desc *diff_bias, const dnnl_memory_desc *diff_dst,
        const dnnl_dims_t strides, const dnnl_dims_t dilates, const dnnl_dims_t pad_begin, const dnnl_dims_t pad_end,
        const dnnl_primitive_desc *forward_hint, const dnnl_primitive_attr *);
int dnnl_lstm_forward_primitive_desc_create(
        dnnl_primitive_desc **, dnnl_engine *, int prop_kind, int direction, const dnnl_memory_desc *src_layer,
        const dnnl_memory_desc *src_iter, const dnnl_memory_desc *src_iter_c, const dnnl_memory_desc *weights_layer,
        const dnnl_memory_desc *weights_iter, const dnnl_memory_desc *peephole, const dnnl_memory_desc *projection,
        const dnnl_memory_desc *bias, const dnnl_memory_desc *dst_layer, const dnnl_memory_desc *dst_iter,
        const dnnl_memory_desc *dst_iter_c, unsigned flags, const dnnl_primitive_attr *);
int dnnl_lstm_backward_primitive_desc_create(
        dnnl_primitive_desc **, dnnl_engine *, int prop_kind, int direction, const dnnl_memory_desc *src_layer,
        const dnnl_memory_desc *src_iter, const dnnl_memory_desc *src_iter_c, const dnnl_memory_desc *weights_layer,
        const dnnl_memory_desc *weights_iter, const dnnl_memory_desc *peephole, const dnnl_memory_desc *projection,
        const dnnl_memory_desc *bias, const dnnl_memory_desc *dst_layer, const dnnl_memory_desc *dst_iter,
        const dnnl_memory_desc *dst_iter_c, const dnnl_memory_desc *diff_src_layer,
        const dnnl_memory_desc *diff_src_iter, const dnnl_memory_desc *diff_src_iter_c,
        const dnnl_memory_desc *diff_weights_layer, const dnnl_memory_desc *diff_weights_iter,
        const dnnl_memory_desc *diff_peephole, const dnnl_memory_desc *diff_projection,
        const dnnl_memory_desc *diff_bias, const dnnl_memory_desc *diff_dst_layer,
        const dnnl_memory_desc *diff_dst_iter, const dnnl_memory_desc *diff_dst_iter_c, unsigned flags,
        const dnnl_primitive_desc *forward_hint, const dnnl_primitive_attr *);

int dnnl_primitive_desc_query(const dnnl_primitive_desc *, int what, int index, void *result);
const dnnl_memory_desc *dnnl_primitive_desc_query_md(const dnnl_primitive_desc *, int what, int index);
int dnnl_primitive_desc_destroy(dnnl_primitive_desc *);
int dnnl_primitive_create(dnnl_primitive **, const dnnl_primitive_desc *);
int dnnl_primitive_execute(const dnnl_primitive *, dnnl_stream *, int nargs, const dnnl_exec_arg_t *);
int dnnl_primitive_destroy(dnnl_primitive *);
}

namespace dnnl {
namespace threadpool_interop {
// The interface by which oneDNN hands out parallel work; the order of the virtual functions is its ABI.
struct threadpool_iface {
    virtual int get_num_threads() const = 0;
    virtual bool get_in_parallel() const = 0;
    virtual void parallel_for(int n, const std::function<void(int, int)> &fn) = 0;
    virtual uint64_t get_flags() const = 0;
    virtual void wait() = 0;  // only later versions have it; never called by a synchronous pool
    virtual ~threadpool_iface() {}
};
}  // namespace threadpool_interop
}  // namespace dnnl

// Constants of the interface (names shortened).
enum { kUndefPrim = 0, kAny = 1, kBf16 = 2, kF32 = 3, kS32 = 4, kU8 = 6, kCpu = 1, kUserScratchpad = 1 };
enum { kForwardTraining = 64, kForwardInference = 96, kBackward = 128 };
enum { kDirect = 1, kBidirectionalConcat = 3, kDiffWeightsOverwrite = 1 };
enum { kQueryImpl = 8, kQuerySrc = 129, kQueryWorkspace = 135, kQueryScratchpad = 136, kQueryArg = 255 };
enum { kArgSrc = 1, kArgDst = 17, kArgWeights = 33, kArgBias = 41, kArgWorkspace = 64, kArgScratchpad = 80,
       kArgDiff = 128 };  // the gradient of argument a is argument a + kArgDiff
enum { kIsaAvx512Bf16 = 0xe7, kIsaAvx2Vnni2 = 0x1f };
