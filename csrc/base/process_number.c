#include "base/process_number.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

#if defined(F_OFD_SETLK) && defined(MADV_DONTFORK) && defined(MADV_WIPEONFORK)
#define HAS_LOCKS 1
#else
#define HAS_LOCKS 0
#endif

/* How much is mapped to hold a lock, and for the words below. */
#define PAGE_BYTES ((size_t)4096)

/* While a thread takes a number. */
#define TAKING UINT64_C(0xFFFF)

/* What this process knows of itself. It is zero in a child. */
typedef struct own_page {
    _Atomic uint64_t word; /* 0, TAKING or the number; above it a stamp. */
    void *anchor; /* Owned: the mapping that holds the lock, or NULL. */
} own_page;

struct fta_process_numbers {
    const fta_segment *segment; /* Borrowed; NULL: one process. */
    fta_process_number_sweep *sweep;
    void *context; /* Borrowed. */
    own_page *own; /* Owned: a mapping. */
    bool is_wiped; /* The kernel zeroes it in a child. */
};

/* -- The page of a process ------------------------------------------------- */

/* What tells the word of this process from one that a child has inherited,
 * where the kernel does not wipe it. */
static uint64_t
stamp_of(const fta_process_numbers *numbers)
{
    return numbers->is_wiped ? 0 : (uint64_t)getpid() << 16;
}

static own_page *
map_own_page(bool *is_wiped)
{
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *is_wiped = false;
    if (page == MAP_FAILED) {
        return NULL;
    }
#if HAS_LOCKS
    *is_wiped = madvise(page, PAGE_BYTES, MADV_WIPEONFORK) == 0;
#endif
    return page;
}

fta_status
fta_process_numbers_open(const fta_segment *segment,
                         fta_process_number_sweep *sweep, void *context,
                         fta_process_numbers **out)
{
    fta_process_numbers *numbers = fta_calloc(1, sizeof *numbers);
    if (numbers == NULL) {
        return FTA_NO_MEMORY;
    }
    numbers->segment = segment;
    numbers->sweep = sweep;
    numbers->context = context;
    numbers->own = map_own_page(&numbers->is_wiped);
    if (numbers->own == NULL) {
        fta_free(numbers);
        return FTA_NO_MEMORY;
    }
    if (segment != NULL && !numbers->is_wiped) {
        fta_process_numbers_close(numbers);
        return FTA_SYSTEM;
    }
    *out = numbers;
    return FTA_OK;
}

void
fta_process_numbers_close(fta_process_numbers *numbers)
{
    if (numbers != NULL) {
        if (numbers->own->anchor != NULL) {
            (void)munmap(numbers->own->anchor, PAGE_BYTES);
        }
        (void)munmap(numbers->own, PAGE_BYTES);
        fta_free(numbers);
    }
}

/* -- The lock -------------------------------------------------------------- */

#if HAS_LOCKS

static bool
try_lock(int fd, unsigned number)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)number,
                         .l_len = 1};
    int result;
    do {
        result = fcntl(fd, F_OFD_SETLK, &lock);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

/* Whether a lock of another open file description is on the byte. Where the
 * system does not say, there may be one. */
static bool
is_locked(int fd, unsigned number)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)number,
                         .l_len = 1};
    return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

/* A mapping that no child inherits, or NULL. */
static void *
map_anchor(int fd)
{
    void *anchor = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (anchor == MAP_FAILED) {
        return NULL;
    }
    if (madvise(anchor, PAGE_BYTES, MADV_DONTFORK) != 0) {
        (void)munmap(anchor, PAGE_BYTES);
        return NULL;
    }
    return anchor;
}

/* Whether the mapping holds the lock, now that its descriptor is closed. Not
 * every system is Linux in all of this. */
static bool
is_held(const fta_segment *segment, unsigned number)
{
    int fd = fta_segment_reopen(segment);
    bool held = fd >= 0 && is_locked(fd, number);
    if (fd >= 0) {
        close(fd);
    }
    return held;
}

/* Locks the first number that nobody has; 0 if there is none. */
static unsigned
lock_number(const fta_segment *segment, void **anchor)
{
    unsigned number = 0;
    int fd = fta_segment_reopen(segment);
    if (fd < 0) {
        return 0;
    }
    *anchor = map_anchor(fd);
    if (*anchor != NULL) {
        number = 1;
        while (number <= FTA_PROCESS_NUMBER_MAX && !try_lock(fd, number)) {
            number++;
        }
    }
    close(fd);
    if (*anchor != NULL &&
        (number > FTA_PROCESS_NUMBER_MAX || !is_held(segment, number))) {
        (void)munmap(*anchor, PAGE_BYTES);
        *anchor = NULL;
        number = 0;
    }
    return number;
}

#else

static bool
is_locked(int fd, unsigned number)
{
    (void)fd, (void)number;
    return true;
}

static unsigned
lock_number(const fta_segment *segment, void **anchor)
{
    (void)segment, (void)anchor;
    return 0;
}

#endif

/* -- The number of this process -------------------------------------------- */

static unsigned
number_of(uint64_t word, uint64_t stamp)
{
    uint64_t number = word ^ stamp;
    return number <= FTA_PROCESS_NUMBER_MAX ? (unsigned)number : 0;
}

unsigned
fta_process_number(const fta_process_numbers *numbers)
{
    return number_of(atomic_load(&numbers->own->word), stamp_of(numbers));
}

unsigned
fta_process_number_take(fta_process_numbers *numbers)
{
    static const struct timespec wait = {0, 50000};
    _Atomic uint64_t *word = &numbers->own->word;
    uint64_t stamp = stamp_of(numbers);
    uint64_t known = atomic_load(word);
    for (;;) {
        unsigned number = number_of(known, stamp);
        if (number != 0) {
            return number;
        }
        if (known == (stamp | TAKING)) { /* Another thread does. */
            (void)nanosleep(&wait, NULL);
            known = atomic_load(word);
        } else if (atomic_compare_exchange_weak(word, &known, stamp | TAKING)) {
            break;
        }
    }
    unsigned number = 1;
    if (numbers->segment != NULL) {
        number = lock_number(numbers->segment, &numbers->own->anchor);
    }
    if (number != 0) {
        numbers->sweep(numbers->context, number);
    }
    atomic_store(word, stamp | number);
    return number;
}

/* -- Who lives ------------------------------------------------------------- */

void
fta_process_look_begin(const fta_process_numbers *numbers,
                       fta_process_look *out)
{
    *out = (fta_process_look){.own = fta_process_number(numbers), .fd = -1};
    if (numbers->segment != NULL) {
        out->fd = fta_segment_reopen(numbers->segment);
    }
}

bool
fta_process_lives(fta_process_look *look, unsigned number)
{
    if (look->fd < 0 || number == look->own ||
        number > FTA_PROCESS_NUMBER_MAX) {
        return true;
    }
    uint64_t *word = &look->alive[number / 64];
    uint64_t bit = UINT64_C(1) << (number % 64);
    if ((*word & bit) == 0 && is_locked(look->fd, number)) {
        *word |= bit;
    }
    return (*word & bit) != 0;
}

void
fta_process_look_end(fta_process_look *look)
{
    if (look->fd >= 0) {
        close(look->fd);
        look->fd = -1;
    }
}
