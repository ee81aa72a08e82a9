#include "token/permission.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/text_pool.h"

/* At most half full. */
#define SLOTS ((size_t)FTA_PERMISSIONS_MAX * 2)

struct fta_permission_names {
    fta_text_pool pool;
    /* A name is written before the count, and the count before the slot. So
     * whoever reads a count or a slot finds the names that it stands for. */
    fta_text names[FTA_PERMISSIONS_MAX];
    _Atomic size_t count;
    _Atomic uint16_t slots[SLOTS]; /* number + 1; 0 is free */
};

fta_permission_names *
fta_permission_names_new(void)
{
    return fta_calloc(1, sizeof(fta_permission_names));
}

void
fta_permission_names_free(fta_permission_names *names)
{
    if (names != NULL) {
        fta_text_pool_clear(&names->pool);
        fta_free(names);
    }
}

size_t
fta_permission_names_count(const fta_permission_names *names)
{
    return atomic_load_explicit(&names->count, memory_order_acquire);
}

fta_text
fta_permission_names_at(const fta_permission_names *names, size_t number)
{
    return names->names[number];
}

static size_t
number_in(const fta_permission_names *names, size_t slot)
{
    return atomic_load_explicit(&names->slots[slot], memory_order_acquire);
}

/* The slot of a name, or the free one where it belongs. FNV-1a: the names come
 * from the app, so nobody chooses them to collide; what a token says is only
 * looked for. *taken is the number and 1, or 0. */
static size_t
slot_of(const fta_permission_names *names, fta_text name, size_t *taken)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name.length; i++) {
        hash = (hash ^ (uint8_t)name.data[i]) * 16777619u;
    }
    size_t slot = hash % SLOTS;
    while ((*taken = number_in(names, slot)) != 0 &&
           !fta_text_equal(names->names[*taken - 1], name)) {
        slot = (slot + 1) % SLOTS;
    }
    return slot;
}

bool
fta_permission_names_find(const fta_permission_names *names, fta_text name,
                          size_t *number)
{
    if (name.length > FTA_PERMISSION_BYTES) {
        return false;
    }
    size_t taken;
    (void)slot_of(names, name, &taken);
    *number = taken - 1;
    return taken != 0;
}

bool
fta_permission_is_sound(fta_text name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        if (c <= 0x20 || c > 0x7E || c == '"' || c == '\\') {
            return false;
        }
    }
    return name.length != 0 && name.length <= FTA_PERMISSION_BYTES;
}

fta_status
fta_permission_names_add(fta_permission_names *names, fta_text name,
                         size_t *number)
{
    if (!fta_permission_is_sound(name)) {
        return FTA_PERMISSION_MALFORMED;
    }
    size_t taken, slot = slot_of(names, name, &taken);
    if (taken == 0) {
        size_t count = fta_permission_names_count(names);
        if (count == FTA_PERMISSIONS_MAX) {
            return FTA_PERMISSIONS_FULL;
        }
        fta_status status =
            fta_text_pool_add(&names->pool, name, &names->names[count]);
        if (status != FTA_OK) {
            return status;
        }
        taken = count + 1;
        atomic_store_explicit(&names->count, taken, memory_order_release);
        atomic_store_explicit(&names->slots[slot], (uint16_t)taken,
                              memory_order_release);
    }
    *number = taken - 1;
    return FTA_OK;
}
