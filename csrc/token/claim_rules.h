/* What the tokens of one issuer must say, and where they say it. */
#ifndef FTA_TOKEN_CLAIM_RULES_H
#define FTA_TOKEN_CLAIM_RULES_H

#include "base/json.h"
#include "token/claim_tree.h"
#include "token/claims.h"

/* How many claims may be required, and how many places one claim may have. */
#define FTA_REQUIRED_MAX 32
#define FTA_PLACES_MAX 16

/* The use of a place in the tree: a claim of the list, or this and the number
 * of a required claim. */
#define FTA_USE_REQUIRED FTA_CLAIM_COUNT

/* What a provider says for a role. */
typedef struct fta_role_word {
    fta_text word;
    fta_role role;
} fta_role_word;

/* A value that a required claim may have. */
typedef struct fta_required_value {
    uint8_t which;
    fta_json_kind kind; /* STRING, INTEGER, TRUE or FALSE */
    fta_text text;      /* of a string or an integer */
} fta_required_value;

typedef struct fta_claim_rules {
    fta_roles *roles; /* Borrowed */
    fta_claim_tree tree;
    fta_text_pool pool;
    fta_text issuer;       /* data NULL: any, or none */
    fta_text *audiences;   /* Owned */
    size_t audience_count; /* 0: a token with an audience is invalid */
    double leeway;         /* seconds, for exp and nbf */
    fta_role_word *words;  /* Owned */
    size_t word_count;     /* 0: the names of the roles are the words */
    bool has_default_role; /* without one, a token must name a role */
    fta_role default_role;
    bool has_namespace; /* whether an id may be a name */
    fta_uuid id_namespace;
    fta_required_value *values; /* Owned */
    size_t value_count;
    uint32_t required; /* a bit for each required claim */
    uint8_t required_count;
    uint8_t places[FTA_CLAIM_COUNT]; /* how many each has been given */
    /* Whether no claims say who it is: tenant, user, role, permissions. It is
     * set before places are added, which then are not read. */
    bool without_identity;
} fta_claim_rules;

/* Rules of the usual claims, with the weakest role as default. roles has a
 * role, is borrowed and must live as long. NULL without memory. The functions
 * below then change them, and fta_claim_rules_finish ends that. Each returns
 * FTA_OK or FTA_NO_MEMORY, or what it says. */
fta_claim_rules *fta_claim_rules_new(fta_roles *roles);
void fta_claim_rules_free(fta_claim_rules *rules);

fta_status fta_claim_rules_set_issuer(fta_claim_rules *rules, fta_text issuer);
fta_status fta_claim_rules_add_audience(fta_claim_rules *rules,
                                        fta_text audience);

/* A place of a claim in place of the usual one; of several the first one that a
 * token has counts. FTA_CLAIM_PATH_MALFORMED, FTA_CLAIM_PATHS_TOO_MANY. */
fta_status fta_claim_rules_add_place(fta_claim_rules *rules, fta_claim claim,
                                     fta_text place);

/* With one word at least, only these words name roles. FTA_ROLE_REPEATED for a
 * word that is there. */
fta_status fta_claim_rules_add_word(fta_claim_rules *rules, fta_text word,
                                    fta_role role);

/* A claim that a token must have, with one of the values that are added to it.
 * A list has a value if an element of it is that. */
fta_status fta_claim_rules_require(fta_claim_rules *rules, fta_text place,
                                   uint8_t *which);
fta_status fta_claim_rules_add_value(fta_claim_rules *rules, uint8_t which,
                                     fta_json_kind kind, fta_text text);

/* Adds the usual places of all other claims. */
fta_status fta_claim_rules_finish(fta_claim_rules *rules);

/* The role that a word of a token stands for. */
bool fta_claim_rules_role(const fta_claim_rules *rules, fta_text word,
                          fta_role *out);

#endif
