/* The roles. A new role is a new line of this list. */
#ifndef FTA_TOKEN_ROLE_H
#define FTA_TOKEN_ROLE_H

#include <stdbool.h>

#include "base/text.h"
#include "base/words.h"

/* Weakest first. X(NAME, text): the text is what tokens and headers say. */
#define FTA_ROLE_LIST(X)                                                       \
    X(USER, "user")                                                            \
    X(ADMIN, "admin")

typedef enum fta_role {
#define X(name, text) FTA_ROLE_##name,
    FTA_ROLE_LIST(X)
#undef X
        FTA_ROLE_COUNT
} fta_role;

/* The role of an identity for which nothing says one. */
#define FTA_ROLE_DEFAULT FTA_ROLE_USER

/* The texts in the order of the list. */
extern const fta_words fta_role_words;

/* The text of a role, which ends with a NUL; never NULL. */
const char *fta_role_text(fta_role role);

/* The role of a text that matches exactly, in its case too. Inline, because
 * every token has one. */
static inline bool
fta_role_parse(fta_text text, fta_role *out)
{
#define X(name, literal)                                                       \
    if (fta_text_is(text, literal)) {                                          \
        *out = FTA_ROLE_##name;                                                \
        return true;                                                           \
    }
    FTA_ROLE_LIST(X)
#undef X
    return false;
}

#endif
