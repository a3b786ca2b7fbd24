/* A test double of the CUDA driver: exactly the entry points that lcsl-backends calls.
 *
 * "Device memory" is host memory whose address carries a mark, so that a host pointer given where a
 * device pointer belongs (or the reverse) is an error here as it is on a card.
 *
 * A stream is a list of tasks (copies, collectives, events to reach, events to wait for), of which
 * none is performed when it is given. Whoever asks how far a stream is has it worked off, and of
 * other streams only what it waits for. So everything happens as late as it may: work that should
 * have been waited for and was not is seen not to be done, and so is work that a stream should not
 * wait for. Memory of the host that was written again too early gives the wrong bytes.
 *
 * There is no default stream: naming it is an error. What is wrong with registered memory at the end
 * is said on standard error.
 *
 *   DOUBLE_PINS=N   refuses to register more than N pieces of memory at once
 */
#include "double.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1, CUDA_ERROR_OUT_OF_MEMORY = 2,
       CUDA_ERROR_INVALID_DEVICE = 101, CUDA_ERROR_INVALID_CONTEXT = 201,
       CUDA_ERROR_NOT_READY = 600, CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED = 712,
       CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED = 713 };
enum { DEVICES = 8, TASKS = 256, STREAMS = 64, PINS = 64, PAGE = 4096, PORTABLE = 1 };

enum kind { COLLECTIVE, COPY, REACH, WAIT };
struct task {
    enum kind kind;
    struct operation collective;
    void *to; const void *from; size_t bytes; int is_staged;
    struct CUevent_st *event; uint64_t serial;
};
struct CUstream_st { struct task tasks[TASKS]; size_t count; };
/* Recorded and reached as often as these say. Never freed: a task may still name it. */
struct CUevent_st { struct CUstream_st *stream; uint64_t recorded, reached; };

/* Streams, and memory of the host that is registered. All of it belongs to whoever holds the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct CUstream_st *streams[STREAMS];
static struct { uintptr_t start; size_t bytes; } pins[PINS];
static size_t pin_count, torn_away;
static __thread int context_is_set;

static int is_stream(const struct CUstream_st *stream) {
    for (size_t i = 0; stream && i < STREAMS; i++) if (streams[i] == stream) return 1;
    return 0;
}

static void remove_first(struct CUstream_st *stream) {
    stream->count--;
    memmove(stream->tasks, stream->tasks + 1, stream->count * sizeof *stream->tasks);
}

static int advance(struct CUstream_st *stream);

/* Collectives of one communicator are performed in the order in which they were given, whatever their
 * streams: 0 where an earlier one cannot be yet. */
static int perform_earlier(const struct operation *collective) {
    for (size_t i = 0; i < STREAMS; i++)
        for (size_t k = 0; streams[i] && k < streams[i]->count; k++) {
            const struct task *task = &streams[i]->tasks[k];
            if (task->kind != COLLECTIVE || task->collective.communicator != collective->communicator
                || task->collective.number >= collective->number) continue;
            if (!advance(streams[i])) return 0;
            k = (size_t)-1; /* from the beginning: the tasks have moved up */
        }
    return 1;
}

/* Performs the first task of a stream, if it can be: 0 where it cannot yet, or there is none. */
static int advance(struct CUstream_st *stream) {
    struct task *task = stream->tasks;
    if (!is_stream(stream) || stream->count == 0) return 0;
    switch (task->kind) {
    case COLLECTIVE:
        if (!perform_earlier(&task->collective)) return 0;
        if (!task->collective.advance(&task->collective)) return 0;
        break;
    case COPY:
        memcpy(task->to, task->from, task->bytes);
        if (task->is_staged) free((void *)task->from);
        break;
    case REACH:
        task->event->reached = task->serial;
        break;
    case WAIT:
        while (task->event->reached < task->serial)
            if (!advance(task->event->stream)) return 0;
        break;
    }
    remove_first(stream);
    return 1;
}

/* Puts a task behind the others; where there is no room, the first is performed now. */
static int give(struct CUstream_st *stream, const struct task *task) {
    if (!is_stream(stream)) return CUDA_ERROR_INVALID_VALUE;
    if (stream->count == TASKS && !advance(stream)) return CUDA_ERROR_INVALID_VALUE;
    stream->tasks[stream->count++] = *task;
    return CUDA_SUCCESS;
}

int cuInit(unsigned flags) { return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

int cuDriverGetVersion(int *version) { *version = 13000; return CUDA_SUCCESS; }

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

/* Waits for all streams, as far as they come, as a card's driver does. */
int cuMemFree_v2(uint64_t pointer) {
    if (!is_on_device(pointer)) return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < STREAMS; i++) while (advance(streams[i])) continue;
    pthread_mutex_unlock(&lock);
    free(on_host(pointer));
    return CUDA_SUCCESS;
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
    for (size_t i = 0; i < STREAMS; i++)
        for (size_t k = 0; streams[i] && k < streams[i]->count; k++) {
            uintptr_t from = (uintptr_t)streams[i]->tasks[k].from;
            torn_away += streams[i]->tasks[k].kind == COPY && from >= start
                && from < start + pins[pin].bytes;
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

/* What is not registered is read at once, into memory of the driver's own. */
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, struct CUstream_st *stream) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (!is_on_device(to) || is_on_device((uintptr_t)from)) return CUDA_ERROR_INVALID_VALUE;
    struct task copy = { .kind = COPY, .to = on_host(to), .from = from, .bytes = bytes };
    pthread_mutex_lock(&lock);
    if (pin_at((uintptr_t)from, bytes) == pin_count) {
        copy.from = memcpy(malloc(bytes + 1), from, bytes);
        copy.is_staged = 1;
    }
    int code = give(stream, &copy);
    pthread_mutex_unlock(&lock);
    return code;
}

/* Waits for no stream that was created. */
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (!is_on_device(from) || is_on_device((uintptr_t)to)) return CUDA_ERROR_INVALID_VALUE;
    memcpy(to, on_host(from), bytes);
    return CUDA_SUCCESS;
}

int cuStreamCreate(struct CUstream_st **stream, unsigned flags) {
    (void)flags;
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    size_t place = 0;
    pthread_mutex_lock(&lock);
    while (place < STREAMS && streams[place]) place++;
    if (place < STREAMS) streams[place] = *stream = calloc(1, sizeof **stream);
    pthread_mutex_unlock(&lock);
    return place < STREAMS ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

int cuStreamDestroy_v2(struct CUstream_st *stream) {
    pthread_mutex_lock(&lock);
    while (advance(stream)) continue;
    for (size_t i = 0; i < STREAMS; i++) if (streams[i] == stream) streams[i] = NULL;
    pthread_mutex_unlock(&lock);
    free(stream);
    return CUDA_SUCCESS;
}

int cuStreamQuery(struct CUstream_st *stream) {
    pthread_mutex_lock(&lock);
    int code = CUDA_ERROR_INVALID_VALUE;
    if (is_stream(stream)) {
        while (advance(stream)) continue;
        code = stream->count == 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    }
    pthread_mutex_unlock(&lock);
    return code;
}

int cuStreamSynchronize(struct CUstream_st *stream) {
    int code;
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    while ((code = cuStreamQuery(stream)) == CUDA_ERROR_NOT_READY) usleep(100);
    return code;
}

int cuEventCreate(struct CUevent_st **event, unsigned flags) {
    (void)flags;
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    *event = calloc(1, sizeof **event);
    return CUDA_SUCCESS;
}

int cuEventDestroy_v2(struct CUevent_st *event) { (void)event; return CUDA_SUCCESS; }

int cuEventRecord(struct CUevent_st *event, struct CUstream_st *stream) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&lock);
    event->stream = stream;
    struct task reach = { .kind = REACH, .event = event, .serial = ++event->recorded };
    int code = give(stream, &reach);
    pthread_mutex_unlock(&lock);
    return code;
}

/* One that was never recorded has nothing to wait for. */
int cuEventSynchronize(struct CUevent_st *event) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    for (;;) {
        pthread_mutex_lock(&lock);
        while (event->reached < event->recorded && advance(event->stream)) continue;
        int is_over = event->reached >= event->recorded;
        pthread_mutex_unlock(&lock);
        if (is_over) return CUDA_SUCCESS;
        usleep(100);
    }
}

/* Waits for the event as it stands now. To ask an order of one that was never recorded is a mistake. */
int cuStreamWaitEvent(struct CUstream_st *stream, struct CUevent_st *event, unsigned flags) {
    if (!context_is_set) return CUDA_ERROR_INVALID_CONTEXT;
    if (flags != 0 || !event->recorded) return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    struct task wait = { .kind = WAIT, .event = event, .serial = event->recorded };
    int code = give(stream, &wait);
    pthread_mutex_unlock(&lock);
    return code;
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

/* Not of the driver: how the double of NCCL puts its collectives into a stream. */
int double_enqueue(struct CUstream_st *stream, const struct operation *operation) {
    struct task collective = { .kind = COLLECTIVE, .collective = *operation };
    pthread_mutex_lock(&lock);
    int code = give(stream, &collective);
    pthread_mutex_unlock(&lock);
    return code;
}

/* Not of the driver: the collectives of a communicator that is gone. */
void double_forget(const void *communicator) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < STREAMS; i++) {
        size_t kept = 0;
        for (size_t k = 0; streams[i] && k < streams[i]->count; k++) {
            struct task *task = &streams[i]->tasks[k];
            if (task->kind != COLLECTIVE || task->collective.communicator != communicator)
                streams[i]->tasks[kept++] = *task;
        }
        if (streams[i]) streams[i]->count = kept;
    }
    pthread_mutex_unlock(&lock);
}

/* Not of the driver: how many tasks of a stream are not performed, for tests. Performs none. */
int double_pending(struct CUstream_st *stream) {
    pthread_mutex_lock(&lock);
    int count = is_stream(stream) ? (int)stream->count : -1;
    pthread_mutex_unlock(&lock);
    return count;
}
