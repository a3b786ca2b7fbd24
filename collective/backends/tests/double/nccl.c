/* A test double of NCCL: exactly the entry points that lcsl-backends calls, over POSIX shared memory.
 *
 * Collectives are numbered per communicator. A rank posts its contribution to number k in slot k % 2
 * of its place, and finishes when all ranks have posted theirs; nobody can post k + 2 before all have
 * finished k, so two slots are enough. Sends and receives go through a mailbox per pair of ranks.
 *
 * What it can be asked to do wrong, by environment variables with RANK the rank of mpirun:
 *   DOUBLE_VERSION[_RANK]=CODE   another version
 *   DOUBLE_FAIL=RANK:NUMBER      that rank's collective of that number ends in a system error
 */
#include "double.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SUCCESS = 0, UNHANDLED_CUDA = 1, SYSTEM = 2, INVALID_ARGUMENT = 4, INVALID_USAGE = 5,
       REMOTE = 6, IN_PROGRESS = 7 };
enum { UINT8 = 1, UINT64 = 5, FLOAT32 = 7, FLOAT64 = 8, SUM = 0 };
enum { RANKS = 8, SLOT_BYTES = 1 << 20, GROUPED = 16, VERSION = 22809 };

typedef struct { char internal[128]; } unique_id;

struct slot { _Atomic uint64_t posted; unsigned char bytes[SLOT_BYTES]; };
struct mailbox { _Atomic uint32_t full; size_t bytes; unsigned char content[SLOT_BYTES]; };
struct shared {
    _Atomic uint32_t joined;
    _Atomic uint32_t failed_rank; /* counted from 1; 0 while all is well */
    struct slot slots[RANKS][2];
    struct mailbox boxes[RANKS][RANKS];
};
struct communicator {
    struct shared *shared;
    char name[64];
    int rank, size;
    uint64_t next;
};

static __thread struct { int depth; size_t count; struct operation operations[GROUPED];
                         void *streams[GROUPED]; } group;

static int rank_of_process(void) {
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    return rank ? atoi(rank) : 0;
}

static size_t size_of(int datatype) {
    switch (datatype) {
    case UINT8: return 1;
    case FLOAT32: return 4;
    case UINT64: case FLOAT64: return 8;
    default: return 0;
    }
}

static void *of_driver(const char *name) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    return driver ? dlsym(driver, name) : NULL;
}

static int enqueue(void *stream, const struct operation *operation) {
    static int (*into)(void *, const struct operation *);
    if (!into) *(void **)&into = of_driver("double_enqueue");
    if (!into) return UNHANDLED_CUDA;
    if (!group.depth) return into(stream, operation) ? UNHANDLED_CUDA : SUCCESS;
    if (group.count == GROUPED) return INVALID_USAGE;
    group.streams[group.count] = stream;
    group.operations[group.count++] = *operation;
    return SUCCESS;
}

int ncclGetVersion(int *version) {
    char name[32];
    snprintf(name, sizeof name, "DOUBLE_VERSION_%d", rank_of_process());
    const char *other = getenv(name) ? getenv(name) : getenv("DOUBLE_VERSION");
    *version = other ? atoi(other) : VERSION;
    return SUCCESS;
}

int ncclGetUniqueId(unique_id *id) {
    static int count;
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/lcsl-double-%d-%d", (int)getpid(), count++);
    return SUCCESS;
}

int ncclCommInitRank(struct communicator **communicator, int size, unique_id id, int rank) {
    if (size < 1 || size > RANKS || rank < 0 || rank >= size) return INVALID_ARGUMENT;
    int file = shm_open(id.internal, O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, sizeof(struct shared))) return SYSTEM;
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED) return SYSTEM;
    struct communicator *made = calloc(1, sizeof *made);
    snprintf(made->name, sizeof made->name, "%.60s", id.internal);
    made->shared = shared;
    made->rank = rank;
    made->size = size;
    made->next = 1;
    atomic_fetch_add(&shared->joined, 1);
    while (atomic_load(&shared->joined) < (uint32_t)size) usleep(100);
    if (rank == 0) shm_unlink(made->name); /* everyone has it open */
    *communicator = made;
    return SUCCESS;
}

static int part(struct communicator *communicator) {
    void (*forget)(const void *);
    *(void **)&forget = of_driver("double_forget");
    if (forget) forget(communicator);
    munmap(communicator->shared, sizeof *communicator->shared);
    free(communicator);
    return SUCCESS;
}

int ncclCommDestroy(struct communicator *communicator) { return part(communicator); }

int ncclCommAbort(struct communicator *communicator) {
    fprintf(stderr, "double: rank %d aborts\n", communicator->rank);
    return part(communicator);
}

int ncclCommGetAsyncError(struct communicator *communicator, int *error) {
    uint32_t failed = atomic_load(&communicator->shared->failed_rank);
    if (failed == 0) *error = SUCCESS;
    else *error = (int)failed - 1 == communicator->rank ? SYSTEM : REMOTE;
    return SUCCESS;
}

const char *ncclGetErrorString(int code) {
    switch (code) {
    case SUCCESS: return "no error";
    case UNHANDLED_CUDA: return "unhandled cuda error";
    case SYSTEM: return "unhandled system error";
    case INVALID_ARGUMENT: return "invalid argument";
    case INVALID_USAGE: return "invalid usage";
    case REMOTE: return "remote process exited or there was a network error";
    default: return "unknown result code";
    }
}

const char *ncclGetLastError(struct communicator *communicator) {
    (void)communicator;
    return "the double was asked to fail";
}

static int is_to_fail(const struct operation *operation) {
    const char *wish = getenv("DOUBLE_FAIL");
    int rank, number;
    return wish && sscanf(wish, "%d:%d", &rank, &number) == 2
        && ((struct communicator *)operation->communicator)->rank == rank
        && operation->number == (uint64_t)number;
}

/* Posts this rank's bytes, once; true when all ranks have posted theirs. */
static int all_have_posted(struct operation *operation) {
    struct communicator *communicator = operation->communicator;
    size_t bytes = operation->count * size_of(operation->datatype);
    if (atomic_load(&communicator->shared->failed_rank)) return 0;
    if (is_to_fail(operation)) {
        atomic_store(&communicator->shared->failed_rank, (uint32_t)communicator->rank + 1);
        return 0;
    }
    size_t parity = operation->number % 2;
    if (!operation->has_sent) {
        struct slot *mine = &communicator->shared->slots[communicator->rank][parity];
        memcpy(mine->bytes, on_host(operation->send), bytes);
        atomic_store(&mine->posted, operation->number);
        operation->has_sent = 1;
    }
    for (int rank = 0; rank < communicator->size; rank++)
        if (atomic_load(&communicator->shared->slots[rank][parity].posted) != operation->number)
            return 0;
    return 1;
}

#define ADD(type) for (size_t i = 0; i < operation->count; i++) \
        ((type *)into)[i] = (rank ? ((type *)into)[i] : 0) + ((const type *)from)[i]

static int sum(struct operation *operation) {
    struct communicator *communicator = operation->communicator;
    if (!all_have_posted(operation)) return 0;
    void *into = on_host(operation->receive);
    for (int rank = 0; rank < communicator->size; rank++) {
        const void *from = communicator->shared->slots[rank][operation->number % 2].bytes;
        if (operation->datatype == FLOAT32) ADD(float);
        else if (operation->datatype == FLOAT64) ADD(double);
        else ADD(uint64_t);
    }
    return 1;
}

static int gather(struct operation *operation) {
    struct communicator *communicator = operation->communicator;
    size_t bytes = operation->count * size_of(operation->datatype);
    if (!all_have_posted(operation)) return 0;
    for (int rank = 0; rank < communicator->size; rank++)
        memcpy((char *)on_host(operation->receive) + (size_t)rank * bytes,
               communicator->shared->slots[rank][operation->number % 2].bytes, bytes);
    return 1;
}

static int send_or_receive(struct operation *operation) {
    struct communicator *communicator = operation->communicator;
    size_t bytes = operation->count * size_of(operation->datatype);
    int sends = operation->send != 0;
    struct mailbox *box = sends ? &communicator->shared->boxes[communicator->rank][operation->peer]
                                : &communicator->shared->boxes[operation->peer][communicator->rank];
    if (atomic_load(&box->full) != (sends ? 0u : 1u)) return 0;
    if (sends) memcpy(box->content, on_host(operation->send), box->bytes = bytes);
    else if (box->bytes != bytes) return 0; /* a card would wait for ever, too */
    else memcpy(on_host(operation->receive), box->content, bytes);
    atomic_store(&box->full, sends ? 1u : 0u);
    return 1;
}

static int collective(int (*advance)(struct operation *), const void *send, void *receive,
                      size_t count, int datatype, struct communicator *communicator, void *stream) {
    struct operation operation = { advance, communicator, (uintptr_t)send, (uintptr_t)receive,
                                   count, datatype, 0, 0, 0, communicator->next };
    if (!size_of(datatype) || count * size_of(datatype) > SLOT_BYTES
        || !is_on_device(operation.send) || !is_on_device(operation.receive))
        return INVALID_ARGUMENT;
    communicator->next++;
    return enqueue(stream, &operation);
}

int ncclAllReduce(const void *send, void *receive, size_t count, int datatype, int reduction,
                  struct communicator *communicator, void *stream) {
    if (reduction != SUM || datatype == UINT8) return INVALID_ARGUMENT;
    return collective(sum, send, receive, count, datatype, communicator, stream);
}

int ncclAllGather(const void *send, void *receive, size_t count, int datatype,
                  struct communicator *communicator, void *stream) {
    return collective(gather, send, receive, count, datatype, communicator, stream);
}

int ncclSend(const void *buffer, size_t count, int datatype, int peer,
             struct communicator *communicator, void *stream) {
    struct operation operation = { send_or_receive, communicator, (uintptr_t)buffer, 0,
                                   count, datatype, peer, 0, 0, 0 };
    if (!is_on_device(operation.send) || count * size_of(datatype) > SLOT_BYTES)
        return INVALID_ARGUMENT;
    return enqueue(stream, &operation);
}

int ncclRecv(void *buffer, size_t count, int datatype, int peer,
             struct communicator *communicator, void *stream) {
    struct operation operation = { send_or_receive, communicator, 0, (uintptr_t)buffer,
                                   count, datatype, peer, 0, 0, 0 };
    if (!is_on_device(operation.receive)) return INVALID_ARGUMENT;
    return enqueue(stream, &operation);
}

int ncclGroupStart(void) { group.depth++; return SUCCESS; }

/* Sends go first, whatever the order of the calls: within a group no call waits for another. */
int ncclGroupEnd(void) {
    if (group.depth == 0) return INVALID_USAGE;
    if (--group.depth > 0) return SUCCESS;
    int result = SUCCESS;
    for (int receiving = 0; receiving < 2; receiving++)
        for (size_t i = 0; i < group.count && result == SUCCESS; i++)
            if ((group.operations[i].send == 0) == receiving)
                result = enqueue(group.streams[i], &group.operations[i]);
    group.count = 0;
    return result;
}
