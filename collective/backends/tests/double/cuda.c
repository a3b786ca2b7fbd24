/* A test double of the CUDA driver: exactly the entry points that lcsl-backends calls.
 *
 * "Device memory" is host memory whose address carries a mark, so that a host pointer given where a
 * device pointer belongs (or the reverse) is an error here as it is on a card. A stream is a list of
 * operations that are performed, in order, when someone asks how far it is: nothing is finished at
 * the moment it is enqueued.
 */
#include "double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1, CUDA_ERROR_INVALID_DEVICE = 101,
       CUDA_ERROR_INVALID_CONTEXT = 201, CUDA_ERROR_NOT_READY = 600 };
enum { DEVICES = 8, OPERATIONS = 256 };

struct CUstream_st { struct operation waiting[OPERATIONS]; size_t count; };
static __thread int context_is_set;

int cuInit(unsigned flags) { return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

/* DOUBLE_GPUS[_RANK]=N: another number of GPUs. */
int cuDeviceGetCount(int *count) {
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    char name[32];
    snprintf(name, sizeof name, "DOUBLE_GPUS_%s", rank ? rank : "0");
    const char *other = getenv(name) ? getenv(name) : getenv("DOUBLE_GPUS");
    *count = other ? atoi(other) : DEVICES;
    return CUDA_SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal >= 0 && ordinal < DEVICES ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = (void *)(uintptr_t)(device + 1);
    return CUDA_SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device) { (void)device; return CUDA_SUCCESS; }

int cuCtxSetCurrent(void *context) { context_is_set = context != NULL; return CUDA_SUCCESS; }

int cuMemAlloc_v2(uint64_t *pointer, size_t bytes) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    *pointer = on_device(malloc(bytes));
    return CUDA_SUCCESS;
}

int cuMemFree_v2(uint64_t pointer) {
    if (!is_on_device(pointer)) return CUDA_ERROR_INVALID_VALUE;
    free(on_host(pointer));
    return CUDA_SUCCESS;
}

int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (!is_on_device(to) || is_on_device((uintptr_t)from)) return CUDA_ERROR_INVALID_VALUE;
    memcpy(on_host(to), from, bytes);
    return CUDA_SUCCESS;
}

int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (!is_on_device(from) || is_on_device((uintptr_t)to)) return CUDA_ERROR_INVALID_VALUE;
    memcpy(to, on_host(from), bytes);
    return CUDA_SUCCESS;
}

int cuStreamCreate(struct CUstream_st **stream, unsigned flags) {
    (void)flags;
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    *stream = calloc(1, sizeof **stream);
    return CUDA_SUCCESS;
}

int cuStreamDestroy_v2(struct CUstream_st *stream) { free(stream); return CUDA_SUCCESS; }

/* The operations at the head that can finish do, and the first that cannot is asked again later. */
int cuStreamQuery(struct CUstream_st *stream) {
    size_t done = 0;
    while (done < stream->count && stream->waiting[done].advance(&stream->waiting[done])) done++;
    stream->count -= done;
    memmove(stream->waiting, stream->waiting + done, stream->count * sizeof *stream->waiting);
    return stream->count == 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

/* Nothing waits in the default stream here, so an event has nothing to hold back; but an order that
 * is asked of an event that was never recorded is a mistake. */
struct CUevent_st { int recorded; };
static struct CUstream_st *const LEGACY = (struct CUstream_st *)1;

int cuEventCreate(struct CUevent_st **event, unsigned flags) {
    (void)flags;
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    *event = calloc(1, sizeof **event);
    return CUDA_SUCCESS;
}

int cuEventDestroy_v2(struct CUevent_st *event) { free(event); return CUDA_SUCCESS; }

int cuEventRecord(struct CUevent_st *event, struct CUstream_st *stream) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (stream != LEGACY) return CUDA_ERROR_INVALID_VALUE;
    event->recorded = 1;
    return CUDA_SUCCESS;
}

int cuStreamWaitEvent(struct CUstream_st *stream, struct CUevent_st *event, unsigned flags) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (stream == LEGACY || flags != 0 || !event->recorded) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

int cuGetErrorString(int code, const char **text) {
    switch (code) {
    case CUDA_ERROR_INVALID_VALUE: *text = "invalid argument"; return CUDA_SUCCESS;
    case CUDA_ERROR_INVALID_DEVICE: *text = "invalid device ordinal"; return CUDA_SUCCESS;
    case CUDA_ERROR_INVALID_CONTEXT: *text = "invalid device context"; return CUDA_SUCCESS;
    default: *text = NULL; return CUDA_ERROR_INVALID_VALUE;
    }
}

/* Not of the driver: how the double of NCCL puts its operations into a stream. */
int double_enqueue(struct CUstream_st *stream, const struct operation *operation) {
    if (stream == NULL || stream->count == OPERATIONS) return CUDA_ERROR_INVALID_VALUE;
    stream->waiting[stream->count++] = *operation;
    return CUDA_SUCCESS;
}
