#include "token/roles.h"

#include <stdatomic.h>

#include "base/alloc.h"

typedef struct grant {
    fta_role role;
    bool prefix; /* the text is followed by anything */
    fta_text text;
} grant;

struct fta_roles {
    const fta_permission_names *names; /* Borrowed */
    fta_text_pool pool;
    size_t count;
    fta_text roles[FTA_ROLES_MAX];
    uint64_t of_tenant; /* a bit for each role that reaches its whole tenant */
    grant *grants;      /* Owned */
    size_t grant_count;
    /* What each role is granted, of the permissions that have a number below
     * known. When there are more, whoever comes next adds theirs. Two threads
     * that do it at once set the same bits. */
    _Atomic size_t known;
    _Atomic uint64_t granted[FTA_ROLES_MAX][FTA_PERMISSION_WORDS];
};

fta_roles *
fta_roles_new(const fta_permission_names *names)
{
    fta_roles *roles = fta_calloc(1, sizeof *roles);
    if (roles != NULL) {
        roles->names = names;
    }
    return roles;
}

void
fta_roles_free(fta_roles *roles)
{
    if (roles != NULL) {
        fta_text_pool_clear(&roles->pool);
        fta_free(roles->grants);
        fta_free(roles);
    }
}

bool
fta_role_is_sound(fta_text name)
{
    if (name.length == 0 || name.length > FTA_ROLE_BYTES ||
        name.data[0] == ' ' || name.data[name.length - 1] == ' ') {
        return false;
    }
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        if ((uint8_t)c < 0x20 || c == 0x7F || c == ',' || c == ';' ||
            c == '=') {
            return false;
        }
    }
    return true;
}

fta_status
fta_roles_add(fta_roles *roles, fta_text name)
{
    fta_role ignored;
    if (!fta_role_is_sound(name)) {
        return FTA_ROLE_MALFORMED;
    }
    if (fta_roles_find(roles, name, &ignored)) {
        return FTA_ROLE_REPEATED;
    }
    if (roles->count == FTA_ROLES_MAX) {
        return FTA_ROLES_TOO_MANY;
    }
    fta_status status =
        fta_text_pool_add(&roles->pool, name, &roles->roles[roles->count]);
    if (status == FTA_OK) {
        roles->count++;
    }
    return status;
}

/* A name, or "*" alone or behind a colon, which is the end of it. */
static fta_status
read_pattern(fta_text pattern, grant *out)
{
    if (!fta_permission_is_sound(pattern)) {
        return FTA_PATTERN_MALFORMED;
    }
    out->prefix = pattern.data[pattern.length - 1] == '*';
    out->text = (fta_text){pattern.data, pattern.length - out->prefix};
    bool whole = out->text.length == 0 ||
                 out->text.data[out->text.length - 1] == ':' || !out->prefix;
    return whole && memchr(out->text.data, '*', out->text.length) == NULL
               ? FTA_OK
               : FTA_PATTERN_MALFORMED;
}

fta_status
fta_roles_grant(fta_roles *roles, fta_role role, fta_text pattern)
{
    grant made = {.role = role};
    fta_status status = read_pattern(pattern, &made);
    if (status != FTA_OK) {
        return status;
    }
    grant *grants =
        fta_realloc(roles->grants, (roles->grant_count + 1) * sizeof *grants);
    if (grants == NULL) {
        return FTA_NO_MEMORY;
    }
    roles->grants = grants;
    status = fta_text_pool_add(&roles->pool, made.text, &made.text);
    if (status == FTA_OK) {
        grants[roles->grant_count++] = made;
        roles->known = 0;
    }
    return status;
}

void
fta_roles_let_reach_tenant(fta_roles *roles, fta_role role)
{
    roles->of_tenant |= (uint64_t)1 << role;
}

bool
fta_roles_reaches_tenant(const fta_roles *roles, fta_role role)
{
    return (roles->of_tenant >> role & 1) != 0;
}

const fta_permission_names *
fta_roles_permissions(const fta_roles *roles)
{
    return roles->names;
}

size_t
fta_roles_count(const fta_roles *roles)
{
    return roles->count;
}

fta_text
fta_roles_at(const fta_roles *roles, fta_role role)
{
    return roles->roles[role];
}

bool
fta_roles_find(const fta_roles *roles, fta_text name, fta_role *out)
{
    for (size_t i = 0; i < roles->count; i++) {
        if (fta_text_equal(roles->roles[i], name)) {
            *out = (fta_role)i;
            return true;
        }
    }
    return false;
}

static bool
covers(const grant *given, fta_text name)
{
    if (!given->prefix) {
        return fta_text_equal(given->text, name);
    }
    return name.length > given->text.length &&
           memcmp(name.data, given->text.data, given->text.length) == 0;
}

bool
fta_roles_grants(const fta_roles *roles, fta_role role, fta_text name)
{
    for (size_t i = 0; i < roles->grant_count; i++) {
        if (roles->grants[i].role <= role && covers(&roles->grants[i], name)) {
            return true;
        }
    }
    return false;
}

/* Takes the permissions into account that got a number since known. */
static void
grant_new(fta_roles *roles, size_t known, size_t count)
{
    for (size_t number = known; number < count; number++) {
        fta_text name = fta_permission_names_at(roles->names, number);
        uint64_t bit = (uint64_t)1 << number % 64;
        for (size_t each = 0; each < roles->count; each++) {
            if (fta_roles_grants(roles, (fta_role)each, name)) {
                atomic_fetch_or_explicit(&roles->granted[each][number / 64],
                                         bit, memory_order_relaxed);
            }
        }
    }
    while (known < count && !atomic_compare_exchange_weak_explicit(
                                &roles->known, &known, count,
                                memory_order_release, memory_order_relaxed)) {
    }
}

void
fta_roles_join_granted(fta_roles *roles, fta_role role, fta_permission_set *set)
{
    size_t count = fta_permission_names_count(roles->names);
    size_t known = atomic_load_explicit(&roles->known, memory_order_acquire);
    if (known < count) {
        grant_new(roles, known, count);
    }
    for (size_t i = 0; i < FTA_PERMISSION_WORDS; i++) {
        set->words[i] |= atomic_load_explicit(&roles->granted[role][i],
                                              memory_order_relaxed);
    }
}
