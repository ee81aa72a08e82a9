/* What a token says before it is verified: which key or issuer to look for, and
 * nothing else. */
#ifndef FTA_TOKEN_PEEK_H
#define FTA_TOKEN_PEEK_H

#include "base/json.h"
#include "base/text.h"

/* The three segments of a token, still encoded. */
typedef struct fta_token_segments {
    fta_text header;
    fta_text payload;
    fta_text signature;
} fta_token_segments;

/* FTA_NOT_THREE_SEGMENTS unless there are three that are not empty. */
fta_status fta_token_split(fta_text text, fta_token_segments *out);

/* The member of that name of a segment, the header or the payload, if it is a
 * string; else data NULL. The whole segment is read, as strictly as a verified
 * one. room has FTA_BASE64_SIZE of its length octets, in which the member is.
 */
fta_status fta_token_peek(fta_text segment, fta_text name,
                          const fta_json_seed *seed, char *room, fta_text *out);

#endif
