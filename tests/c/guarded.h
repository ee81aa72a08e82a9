/* Copies of an input whose last byte is the last byte of a readable page: a
 * parser that reads one byte too far dies, with or without a sanitizer. */
#ifndef FTA_TESTS_GUARDED_H
#define FTA_TESTS_GUARDED_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct guarded {
    char *text; /* Borrowed from mapping; length bytes. */
    void *mapping;
    size_t mapped;
} guarded;

static inline guarded
guarded_copy(const void *bytes, size_t length)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (length + page) / page * page;
    guarded copy = {.mapped = room + page};
    copy.mapping = mmap(NULL, copy.mapped, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy.mapping == MAP_FAILED ||
        mprotect((char *)copy.mapping + room, page, PROT_NONE) != 0) {
        abort();
    }
    copy.text = (char *)copy.mapping + room - length;
    if (length != 0) {
        memcpy(copy.text, bytes, length);
    }
    return copy;
}

static inline void
guarded_free(guarded *copy)
{
    munmap(copy->mapping, copy->mapped);
}

#endif
