/* What an unverified token says of itself. It serves only to choose the keys
 * that the token is verified with: nothing else may rely on it. */
#ifndef FTA_TOKEN_PEEK_H
#define FTA_TOKEN_PEEK_H

#include "base/json.h"
#include "base/status.h"
#include "base/text.h"

/* The three segments of a token, still encoded. */
typedef struct fta_token_segments {
    fta_text header;
    fta_text payload;
    fta_text signature;
} fta_token_segments;

/* FTA_NOT_THREE_SEGMENTS unless there are three that are not empty. */
fta_status fta_token_split(fta_text text, fta_token_segments *out);

typedef struct fta_peek {
    fta_text kid;   /* Borrowed from octets; data NULL: no string there */
    fta_text claim; /* likewise */
    char *octets;   /* Owned: the decoded header and payload */
} fta_peek;

/* Reads the kid of the header and one claim of the payload, both as strictly
 * as fta_token_open and fta_token_claims read them. What is no string is
 * absent. fta_peek_close must follow, also after a failure. */
fta_status fta_peek_open(fta_text token, fta_text claim,
                         const fta_json_seed *seed, fta_peek *out);
void fta_peek_close(fta_peek *peek);

#endif
