/* A test double of the CUDA driver: exactly the entry points that lcsl-backends calls.
 *
 * "Device memory" is host memory whose address carries a mark, so that a host pointer given where a
 * device pointer belongs (or the reverse) is an error here as it is on a card. A stream is a list of
 * operations that are performed, in order, when someone asks how far it is: nothing is finished at
 * the moment it is enqueued.
 *
 * The default stream takes copies from registered memory of the host. They are performed as late as
 * they may be, when someone waits for them: memory that was written again too early gives the wrong
 * bytes. What is wrong with registered memory at the end is said on standard error.
 *
 *   DOUBLE_PINS=N   refuses to register more than N pieces of memory at once
 */
#include "double.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1, CUDA_ERROR_OUT_OF_MEMORY = 2,
       CUDA_ERROR_INVALID_DEVICE = 101, CUDA_ERROR_INVALID_CONTEXT = 201,
       CUDA_ERROR_NOT_READY = 600, CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED = 712,
       CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED = 713 };
enum { DEVICES = 8, OPERATIONS = 256, PINS = 64, PAGE = 4096, PORTABLE = 1 };

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

int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    memset(uuid, 0xab, 15);
    uuid[15] = (unsigned char)device;
    return CUDA_SUCCESS;
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

/* Memory of the host that is registered, and the copies from it that the default stream was given;
 * the first `done` of `given` are over. All of it belongs to whoever holds the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { uintptr_t start; size_t bytes; } pins[PINS];
static size_t pin_count, torn_away;
static struct copy { void *to; const void *from; size_t bytes; } copies[OPERATIONS];
static uint64_t given, done;

static void perform_until(uint64_t end) {
    for (; done < end; done++) {
        struct copy *copy = &copies[done % OPERATIONS];
        memcpy(copy->to, copy->from, copy->bytes);
    }
}

static void work_off_default_stream(void) {
    pthread_mutex_lock(&lock);
    perform_until(given);
    pthread_mutex_unlock(&lock);
}

/* The registered memory that shares a byte with these, or none. */
static size_t pin_at(uintptr_t start, size_t bytes) {
    size_t pin = 0;
    while (pin < pin_count && (start + bytes <= pins[pin].start
                               || pins[pin].start + pins[pin].bytes <= start)) pin++;
    return pin;
}

static int register_locked(uintptr_t start, size_t bytes) {
    const char *wish = getenv("DOUBLE_PINS");
    size_t limit = wish ? (size_t)atoi(wish) : PINS;
    if (pin_at(start, bytes) < pin_count) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    if (pin_count >= limit || pin_count == PINS) return CUDA_ERROR_OUT_OF_MEMORY;
    pins[pin_count].start = start;
    pins[pin_count++].bytes = bytes;
    return CUDA_SUCCESS;
}

int cuMemHostRegister_v2(void *memory, size_t bytes, unsigned flags) {
    uintptr_t start = (uintptr_t)memory;
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (!memory || !bytes || start % PAGE || bytes % PAGE || flags != PORTABLE)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    int code = register_locked(start, bytes);
    pthread_mutex_unlock(&lock);
    return code;
}

static int unregister_locked(uintptr_t start) {
    size_t pin = pin_at(start, 1);
    if (pin == pin_count || pins[pin].start != start) return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    for (uint64_t i = done; i < given; i++) {
        uintptr_t from = (uintptr_t)copies[i % OPERATIONS].from;
        torn_away += from >= start && from < start + pins[pin].bytes;
    }
    pins[pin] = pins[--pin_count];
    return CUDA_SUCCESS;
}

int cuMemHostUnregister(void *memory) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&lock);
    int code = unregister_locked((uintptr_t)memory);
    pthread_mutex_unlock(&lock);
    return code;
}

__attribute__((destructor)) static void say_what_is_wrong(void) {
    if (pin_count) fprintf(stderr, "double: %zu pieces of memory are still registered\n", pin_count);
    if (torn_away) fprintf(stderr, "double: unregistered under %zu unfinished copies\n", torn_away);
}

/* From memory that is not registered a card's driver, too, has read everything when it returns. */
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, struct CUstream_st *stream) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (!is_on_device(to) || is_on_device((uintptr_t)from) || (uintptr_t)stream != 1)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    if (given - done == OPERATIONS) perform_until(done + 1);
    copies[given++ % OPERATIONS] = (struct copy){ on_host(to), from, bytes };
    if (pin_at((uintptr_t)from, bytes) == pin_count) perform_until(given);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (!is_on_device(to) || is_on_device((uintptr_t)from)) return CUDA_ERROR_INVALID_VALUE;
    work_off_default_stream();
    memcpy(on_host(to), from, bytes);
    return CUDA_SUCCESS;
}

int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (!is_on_device(from) || is_on_device((uintptr_t)to)) return CUDA_ERROR_INVALID_VALUE;
    work_off_default_stream();
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

/* An event stands behind what the default stream was given before it. Another stream that is to wait
 * for it finds that done at once; to ask an order of an event that was never recorded is a mistake. */
struct CUevent_st { int recorded; uint64_t behind; };
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
    pthread_mutex_lock(&lock);
    event->recorded = 1;
    event->behind = given;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

/* One that was never recorded has nothing to wait for. */
int cuEventSynchronize(struct CUevent_st *event) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&lock);
    perform_until(event->behind);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

int cuStreamSynchronize(struct CUstream_st *stream) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (stream != LEGACY) return CUDA_ERROR_INVALID_VALUE;
    work_off_default_stream();
    return CUDA_SUCCESS;
}

int cuStreamWaitEvent(struct CUstream_st *stream, struct CUevent_st *event, unsigned flags) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (stream == LEGACY || flags != 0 || !event->recorded) return CUDA_ERROR_INVALID_VALUE;
    return cuEventSynchronize(event);
}

int cuGetErrorString(int code, const char **text) {
    switch (code) {
    case CUDA_ERROR_INVALID_VALUE: *text = "invalid argument"; return CUDA_SUCCESS;
    case CUDA_ERROR_OUT_OF_MEMORY: *text = "out of memory"; return CUDA_SUCCESS;
    case CUDA_ERROR_INVALID_DEVICE: *text = "invalid device ordinal"; return CUDA_SUCCESS;
    case CUDA_ERROR_INVALID_CONTEXT: *text = "invalid device context"; return CUDA_SUCCESS;
    case CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED:
        *text = "part or all of the requested memory range is already mapped";
        return CUDA_SUCCESS;
    default: *text = NULL; return CUDA_ERROR_INVALID_VALUE;
    }
}

/* Not of the driver: how the double of NCCL puts its operations into a stream. */
int double_enqueue(struct CUstream_st *stream, const struct operation *operation) {
    if (stream == NULL || stream->count == OPERATIONS) return CUDA_ERROR_INVALID_VALUE;
    stream->waiting[stream->count++] = *operation;
    return CUDA_SUCCESS;
}
