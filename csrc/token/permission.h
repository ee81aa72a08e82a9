/* Permissions: the names that a process knows, each with a number, and sets of
 * those numbers. */
#ifndef FTA_TOKEN_PERMISSION_H
#define FTA_TOKEN_PERMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

#define FTA_PERMISSIONS_MAX 512
#define FTA_PERMISSION_BYTES 255

#define FTA_PERMISSION_WORDS (FTA_PERMISSIONS_MAX / 64)

typedef struct fta_permission_set {
    uint64_t words[FTA_PERMISSION_WORDS];
} fta_permission_set;

static inline void
fta_permission_set_add(fta_permission_set *set, size_t number)
{
    set->words[number / 64] |= (uint64_t)1 << number % 64;
}

static inline bool
fta_permission_set_has(const fta_permission_set *set, size_t number)
{
    return (set->words[number / 64] >> number % 64 & 1) != 0;
}

/* Grows only: a name keeps its number. One thread adds at a time; any number
 * read meanwhile, and see a name whole or not at all. */
typedef struct fta_permission_names fta_permission_names;

/* NULL without memory. */
fta_permission_names *fta_permission_names_new(void);
void fta_permission_names_free(fta_permission_names *names);

size_t fta_permission_names_count(const fta_permission_names *names);
fta_text fta_permission_names_at(const fta_permission_names *names,
                                 size_t number);

/* False for a name that was never added. */
bool fta_permission_names_find(const fta_permission_names *names, fta_text name,
                               size_t *number);

/* The number of a name, which is new if the name is. FTA_PERMISSION_MALFORMED
 * for what is no scope token (RFC 6749, section 3.3) or too long,
 * FTA_PERMISSIONS_FULL, FTA_NO_MEMORY. */
fta_status fta_permission_names_add(fta_permission_names *names, fta_text name,
                                    size_t *number);

/* Whether it is a scope token of at most FTA_PERMISSION_BYTES. */
bool fta_permission_is_sound(fta_text name);

#endif
