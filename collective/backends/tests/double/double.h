/* What the two halves of the double share. */
#ifndef LCSL_DOUBLE_H
#define LCSL_DOUBLE_H

#include <stddef.h>
#include <stdint.h>

/* User addresses of x86-64 and AArch64 leave this bit clear. */
#define DEVICE_MARK ((uint64_t)1 << 62)

static inline uint64_t on_device(void *host) { return (uint64_t)(uintptr_t)host | DEVICE_MARK; }
static inline int is_on_device(uint64_t pointer) { return (pointer & DEVICE_MARK) != 0; }
static inline void *on_host(uint64_t pointer) {
    return (void *)(uintptr_t)(pointer & ~DEVICE_MARK);
}

/* Something that a stream does. `advance` never blocks and returns 1 when it is done. */
struct operation {
    int (*advance)(struct operation *);
    void *communicator;
    uint64_t send, receive;
    size_t count;
    int datatype, peer, has_sent, has_received;
    uint64_t number;
};

#endif
