/* A store: where counters are. The limiter knows stores by this interface
 * alone. A store is its own files, and its line in FTA_STORE_LIST. */
#ifndef FTA_LIMIT_STORE_H
#define FTA_LIMIT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "limit/facts.h"
#include "limit/hit.h"

/* X(name): the store fta_store_<name>. In the order in which they are asked:
 * each counts where the one before it does not. */
#define FTA_STORE_LIST(X)                                                      \
    X(redis)                                                                   \
    X(shm)

/* Who is told that a store goes away, or comes back: by a thread of the store,
 * of this process, one change after the other. Both may be NULL. */
typedef struct fta_store_watcher {
    void (*changed)(void *context, bool is_away);
    void *context; /* Borrowed; lives as long as the store. */
} fta_store_watcher;

/* What all stores of a limiter are opened with; each reads what concerns it. */
typedef struct fta_store_options {
    fta_text prefix; /* Counters with one prefix are one application's. */
    fta_text app;    /* On this host, of one app, too. */
    fta_text url;    /* Of the store of many hosts; empty: there is none. */
    int timeout_ms;  /* The longest wait for one request. */
    /* Of this host's table: see shm/table.h. */
    size_t shm_bytes;
    bool shared;
    const char *directory;
    fta_store_watcher watcher;
} fta_store_options;

/* Why a store cannot be opened. */
typedef struct fta_store_problem {
    const char *option; /* Borrowed: the argument at fault; NULL: none is. */
    /* Goes on after its name: "must be", "cannot be used". Holds nothing that
     * could be secret. */
    char text[192];
} fta_store_problem;

/* What an option may be: a number, or the bytes of a text. Whoever reads
 * settings asks here, and fta_store_options_check decides. */
typedef struct fta_store_range {
    const char *option;
    uint64_t least; /* Also 0 for shm_bytes, which is a size that suits. */
    uint64_t most;
} fta_store_range;

extern const fta_store_range fta_store_ranges[];
extern const size_t fta_store_range_count;

/* FTA_BAD_ARGUMENT: the problem says which option is out of its range. */
fta_status fta_store_options_check(const fta_store_options *options,
                                   fta_store_problem *problem);

/* What a store will do with a request. */
typedef enum fta_course {
    FTA_COURSE_KNOWN, /* The verdict is known: no hit is needed. */
    FTA_COURSE_HIT,   /* It answers at once. */
    FTA_COURSE_WAIT,  /* It answers after a wait for the network. */
    FTA_COURSE_AWAY,  /* It does not answer now. */
} fta_course;

typedef struct fta_plan {
    fta_course course;
    uint32_t seen; /* Of the store's own: what it has based its course on. */
} fta_plan;

/* How often something happened that an operator should know of. */
typedef struct fta_store_events {
    uint32_t changes;        /* Away and back; odd while away. */
    uint32_t first_failures; /* Ways of failing while nothing ever counted. */
    uint64_t evictions;      /* Live counters lost to fresh keys. */
} fta_store_events;

typedef struct fta_store_type fta_store_type;

/* The head of each store's own struct. */
typedef struct fta_store {
    const fta_store_type *type; /* Borrowed. */
} fta_store;

/* All but open and close may be called by any number of threads at once, and
 * by forked children. */
struct fta_store_type {
    const char *name;

    /* Whether a URL names such a store. NULL: it needs no URL, and every
     * limiter has one. */
    bool (*takes)(fta_text url);

    /* Waits for nothing. On failure *out is NULL; the problem is written only
     * where an option is at fault. */
    fta_status (*open)(const fta_store_options *options, fta_store **out,
                       fta_store_problem *problem);

    /* Never waits. Writes the verdict where the course is FTA_COURSE_KNOWN. */
    fta_plan (*plan)(fta_store *store, const fta_hits *request,
                     fta_verdict *verdict);

    /* After a plan to hit or to wait. A status other than FTA_OK: the store has
     * not answered, and has dealt with the failure. */
    fta_status (*hit)(fta_store *store, const fta_hits *request, fta_plan plan,
                      fta_verdict *verdict);

    /* Whether requests are left to the next store now. NULL: never. */
    bool (*is_away)(fta_store *store);

    /* Adds to what the other stores have counted. Cheap. */
    void (*add_events)(fta_store *store, fta_store_events *events);

    /* May be slow. */
    void (*add_facts)(fta_store *store, fta_facts *facts);

    /* Ends what runs in the background and gives up what others use too. The
     * store may be asked on: it then answers for this process, or is away. */
    void (*leave)(fta_store *store);

    /* No other call may be under way. */
    void (*close)(fta_store *store);
};

#define X(name) extern const fta_store_type fta_store_##name;
FTA_STORE_LIST(X)
#undef X

/* All of them, in the order of the list. */
extern const fta_store_type *const fta_store_types[];
extern const size_t fta_store_type_count;

#endif
