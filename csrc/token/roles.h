/* The roles of an app, weakest first, and what each is granted. */
#ifndef FTA_TOKEN_ROLES_H
#define FTA_TOKEN_ROLES_H

#include "base/text_pool.h"
#include "token/permission.h"

#define FTA_ROLES_MAX 64
#define FTA_ROLE_BYTES 64

/* The place of a role in its list: a stronger one has a larger number. */
typedef uint8_t fta_role;

typedef struct fta_roles fta_roles;

/* Without a role. names is borrowed and must live as long. NULL without
 * memory. */
fta_roles *fta_roles_new(const fta_permission_names *names);
void fta_roles_free(fta_roles *roles);

/* Adds a role, stronger than those that are there. FTA_ROLE_MALFORMED,
 * FTA_ROLE_REPEATED, FTA_ROLES_TOO_MANY, FTA_NO_MEMORY. */
fta_status fta_roles_add(fta_roles *roles, fta_text name);

/* Grants a role, and so each stronger one, what a pattern names: a permission,
 * "*" for every permission, or "accounts:*" for every one that begins with
 * "accounts:". FTA_PATTERN_MALFORMED, FTA_NO_MEMORY. */
fta_status fta_roles_grant(fta_roles *roles, fta_role role, fta_text pattern);

/* Lets a role reach the rows of every user of its tenant. */
void fta_roles_let_reach_tenant(fta_roles *roles, fta_role role);
bool fta_roles_reaches_tenant(const fta_roles *roles, fta_role role);

/* The names that it was made with. */
const fta_permission_names *fta_roles_permissions(const fta_roles *roles);

size_t fta_roles_count(const fta_roles *roles);
/* Ends with a NUL. */
fta_text fta_roles_at(const fta_roles *roles, fta_role role);

/* The role of a name that matches exactly, in its case too. */
bool fta_roles_find(const fta_roles *roles, fta_text name, fta_role *out);

/* Adds what a role is granted, of the permissions that have a number now. Any
 * number of threads may call it at once. */
void fta_roles_join_granted(fta_roles *roles, fta_role role,
                            fta_permission_set *set);

/* Whether a role is granted a permission, which may have no number. */
bool fta_roles_grants(const fta_roles *roles, fta_role role, fta_text name);

/* 1 to FTA_ROLE_BYTES octets without spaces at its ends, control characters,
 * commas, semicolons and equals signs, which lists of roles are written with.
 */
bool fta_role_is_sound(fta_text name);

#endif
