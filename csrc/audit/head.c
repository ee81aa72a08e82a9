#include "audit/head.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/big_endian.h"
#include "base/clock.h"

#define MAGIC "ftahead1"
#define NUMBERS 5
#define SIGNED (FTA_AUDIT_HEAD_OCTETS - FTA_AUDIT_DIGEST)

bool
fta_audit_head_read(fta_text octets, fta_audit_key *const *keys, size_t count,
                    fta_audit_head *out)
{
    const uint8_t *data = (const uint8_t *)octets.data;
    if (octets.length != FTA_AUDIT_HEAD_OCTETS || memcmp(data, MAGIC, 8) != 0) {
        return false;
    }
    bool proved = false;
    for (size_t i = 0; i < count && !proved; i++) {
        uint8_t mac[FTA_AUDIT_DIGEST];
        proved =
            fta_audit_key_mac(keys[i], (fta_text){octets.data, SIGNED}, mac) &&
            CRYPTO_memcmp(mac, data + SIGNED, sizeof mac) == 0;
    }
    uint64_t *const numbers[NUMBERS] = {&out->n, &out->inode, &out->offset,
                                        &out->signed_at, &out->intended};
    for (size_t i = 0; i < NUMBERS; i++) {
        *numbers[i] = fta_read_big_endian(data + 8 + 8 * i);
    }
    data += 8 + 8 * NUMBERS;
    memcpy(out->digest, data, FTA_AUDIT_DIGEST);
    memcpy(out->intended_digest, data + FTA_AUDIT_DIGEST, FTA_AUDIT_DIGEST);
    return proved;
}

bool
fta_audit_head_write(const fta_audit_head *head, const fta_audit_key *key,
                     char out[FTA_AUDIT_HEAD_OCTETS])
{
    const uint64_t numbers[NUMBERS] = {head->n, head->inode, head->offset,
                                       head->signed_at, head->intended};
    uint8_t *data = (uint8_t *)out;
    memcpy(data, MAGIC, 8);
    for (size_t i = 0; i < NUMBERS; i++) {
        fta_write_big_endian(numbers[i], data + 8 + 8 * i);
    }
    data += 8 + 8 * NUMBERS;
    memcpy(data, head->digest, FTA_AUDIT_DIGEST);
    memcpy(data + FTA_AUDIT_DIGEST, head->intended_digest, FTA_AUDIT_DIGEST);
    return fta_audit_key_mac(key, (fta_text){out, SIGNED},
                             (uint8_t *)out + SIGNED);
}

/* A holder needs some microseconds. One that was stopped is not waited for. */
static bool
lock_within(int descriptor, int64_t wait_ms)
{
    int64_t end = fta_clock_monotonic_us() + wait_ms * 1000;
    struct timespec pause = {0, 2000};
    for (;;) {
        if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
            return true;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return false;
        }
        if (fta_clock_monotonic_us() >= end) {
            errno = EAGAIN;
            return false;
        }
        (void)nanosleep(&pause, NULL);
        if (pause.tv_nsec < 1000000) {
            pause.tv_nsec *= 2;
        }
    }
}

int
fta_audit_head_lock(const char *path, int64_t wait_ms)
{
    int descriptor = open(
        path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (descriptor >= 0 && !lock_within(descriptor, wait_ms)) {
        int error = errno;
        (void)close(descriptor);
        errno = error;
        return -1;
    }
    return descriptor;
}

void
fta_audit_head_unlock(int descriptor)
{
    (void)flock(descriptor, LOCK_UN);
    (void)close(descriptor);
}
