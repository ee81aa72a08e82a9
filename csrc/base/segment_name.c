#include "base/segment_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include <openssl/evp.h>
#include <openssl/rand.h>

/* "fta-", purpose, "-", random */
#define PURPOSE_DIGITS 32
#define RANDOM_DIGITS 16

_Static_assert(FTA_SEGMENT_NAME_LENGTH ==
                   4 + PURPOSE_DIGITS + 1 + RANDOM_DIGITS,
               "the parts of a name");

/* Processes for which all of this is equal use the same segment. Zeroed before
 * it is filled, because its padding is digested too. */
typedef struct identity {
    uint64_t format;
    uint64_t layout;
    uint64_t user;
    uint8_t boot[FTA_SEGMENT_DIGEST];
    uint8_t app[FTA_SEGMENT_DIGEST];
    uint8_t prefix[FTA_SEGMENT_DIGEST];
} identity;

static bool
digest(const void *data, size_t length, uint8_t out[FTA_SEGMENT_DIGEST])
{
    return EVP_Digest(length > 0 ? data : "", length, out, NULL, EVP_sha256(),
                      NULL) == 1;
}

#ifndef __APPLE__
/* Appends the content of a small file, if it can be read. */
static size_t
append_file(const char *path, char *out, size_t length, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, out + length, size - length);
        length += got > 0 ? (size_t)got : 0;
        close(fd);
    }
    return length;
}
#endif

bool
fta_segment_digest_boot(uint8_t out[FTA_SEGMENT_DIGEST])
{
    char text[256] = "";
#ifdef __APPLE__
    size_t length = sizeof text;
    if (sysctlbyname("kern.bootsessionuuid", text, &length, NULL, 0) != 0) {
        length = 0;
    }
#else
    size_t length =
        append_file("/proc/sys/kernel/random/boot_id", text, 0, sizeof text);
    length =
        append_file("/proc/self/timens_offsets", text, length, sizeof text);
#endif
    return digest(text, length, out);
}

bool
fta_segment_digest_purpose(const fta_segment_purpose *purpose, uid_t user,
                           const uint8_t boot[FTA_SEGMENT_DIGEST],
                           uint8_t out[FTA_SEGMENT_DIGEST])
{
    identity who;
    memset(&who, 0, sizeof who);
    who.format = FTA_SEGMENT_COMPLETE;
    who.layout = purpose->layout;
    who.user = user;
    memcpy(who.boot, boot, sizeof who.boot);
    return digest(purpose->app.data, purpose->app.length, who.app) &&
           digest(purpose->prefix.data, purpose->prefix.length, who.prefix) &&
           digest(&who, sizeof who, out);
}

static void
write_hex(char *out, const uint8_t *bytes, size_t digits)
{
    for (size_t i = 0; i < digits / 2; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

void
fta_segment_write_stem(char out[FTA_SEGMENT_NAME_LENGTH + 1],
                       const uint8_t purpose[FTA_SEGMENT_DIGEST])
{
    memcpy(out, "fta-", 4);
    write_hex(out + 4, purpose, PURPOSE_DIGITS);
}

static bool
are_hex_digits(const char *text, size_t count)
{
    return strspn(text, "0123456789abcdef") >= count;
}

bool
fta_segment_is_name(const char *name)
{
    return strlen(name) == FTA_SEGMENT_NAME_LENGTH &&
           memcmp(name, "fta-", 4) == 0 &&
           are_hex_digits(name + 4, PURPOSE_DIGITS) &&
           name[4 + PURPOSE_DIGITS] == '-' &&
           are_hex_digits(name + 4 + PURPOSE_DIGITS + 1, RANDOM_DIGITS);
}

bool
fta_segment_write_path(char out[FTA_SEGMENT_PATH_SIZE], const char *directory,
                       const char *name)
{
    int length = snprintf(out, FTA_SEGMENT_PATH_SIZE, "%s/%s", directory, name);
    return length > 0 && length < FTA_SEGMENT_PATH_SIZE;
}

bool
fta_segment_write_random_name(char out[FTA_SEGMENT_NAME_LENGTH + 1],
                              const char *stem)
{
    uint8_t random[RANDOM_DIGITS / 2];
    if (RAND_bytes(random, sizeof random) != 1) {
        return false;
    }
    size_t length = strlen(stem);
    memcpy(out, stem, length);
    out[length] = '-';
    write_hex(out + length + 1, random, RANDOM_DIGITS);
    return true;
}

const char *
fta_segment_directory(const char *directory, char out[FTA_SEGMENT_PATH_SIZE])
{
    if (directory != NULL) {
        return directory;
    }
#ifdef __APPLE__
    size_t length =
        confstr(_CS_DARWIN_USER_TEMP_DIR, out, FTA_SEGMENT_PATH_SIZE);
    return length > 0 && length <= FTA_SEGMENT_PATH_SIZE ? out : NULL;
#else
    memcpy(out, "/dev/shm", sizeof "/dev/shm");
    return out;
#endif
}
