/* Rules of tokens and roles for tests. */
#ifndef FTA_TESTS_RULES_H
#define FTA_TESTS_RULES_H

#include <stdlib.h>
#include <string.h>

#include "token/claim_rules.h"

#define ROLE_USER 0
#define ROLE_ADMIN 1

static inline void
expect(bool condition)
{
    if (!condition) {
        abort();
    }
}

static inline fta_permission_names *
test_permissions(void)
{
    static fta_permission_names *names;
    if (names == NULL) {
        names = fta_permission_names_new();
        expect(names != NULL);
    }
    return names;
}

/* "user" and "admin"; one object for the whole program. */
static inline fta_roles *
test_roles(void)
{
    static fta_roles *roles;
    if (roles == NULL) {
        roles = fta_roles_new(test_permissions());
        expect(roles != NULL);
        expect(fta_roles_add(roles, (fta_text){"user", 4}) == FTA_OK);
        expect(fta_roles_add(roles, (fta_text){"admin", 5}) == FTA_OK);
    }
    return roles;
}

/* Rules that are to be changed and then finished. */
static inline fta_claim_rules *
begin_rules(void)
{
    fta_claim_rules *rules = fta_claim_rules_new(test_roles());
    expect(rules != NULL);
    return rules;
}

static inline fta_claim_rules *
finish_rules(fta_claim_rules *rules)
{
    expect(fta_claim_rules_finish(rules) == FTA_OK);
    return rules;
}

/* issuer may be NULL. */
static inline fta_claim_rules *
make_rules(const char *issuer, const fta_text *audiences, size_t count,
           double leeway)
{
    fta_claim_rules *rules = begin_rules();
    if (issuer != NULL) {
        const fta_text text = {issuer, strlen(issuer)};
        expect(fta_claim_rules_set_issuer(rules, text) == FTA_OK);
    }
    for (size_t i = 0; i < count; i++) {
        expect(fta_claim_rules_add_audience(rules, audiences[i]) == FTA_OK);
    }
    rules->leeway = leeway;
    return finish_rules(rules);
}

static inline fta_claim_rules *
usual_rules(void)
{
    return make_rules(NULL, NULL, 0, 0);
}

#endif
