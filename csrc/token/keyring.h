/* The keys of one application, and what its tokens must say. It never changes,
 * so any number of threads may use it. */
#ifndef FTA_TOKEN_KEYRING_H
#define FTA_TOKEN_KEYRING_H

#include "token/claim_rules.h"
#include "token/key.h"

/* What max_token_bytes and leeway may be at most. */
#define FTA_TOKEN_MAX ((size_t)1 << 28)
#define FTA_LEEWAY_MAX 86400.0

/* A header segment that is known in advance. The header of a usual token is
 * looked up among those of all keys, and not parsed. */
typedef struct fta_known_header {
    char *text; /* Owned */
    size_t length;
    const fta_algorithm *algorithm;
    const fta_key *key; /* Borrowed; NULL when the header has no kid */
} fta_known_header;

typedef struct fta_keyring {
    const fta_key **keys; /* Owned array of Borrowed keys */
    size_t key_count;
    fta_known_header *known; /* Owned, in the order of their texts */
    size_t known_count;
    fta_claim_rules *rules; /* Owned */
    size_t max_token_bytes;
    fta_json_seed seed;
} fta_keyring;

/* keys are borrowed and must live as long as the keyring. On success it owns
 * the rules, which are finished. */
fta_status fta_keyring_new(const fta_key *const *keys, size_t count,
                           fta_claim_rules *rules, size_t max_token_bytes,
                           fta_keyring **out);

/* The known header that a segment is, or NULL. */
const fta_known_header *fta_keyring_find_header(const fta_keyring *keyring,
                                                fta_text segment);

void fta_keyring_free(fta_keyring *keyring);

#endif
