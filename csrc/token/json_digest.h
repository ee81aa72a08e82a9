/* A number for what a JSON text says, whatever the order of its members, its
 * white space and its escapes: two texts with one digest say the same, but for
 * a chance of 2^-64. */
#ifndef FTA_TOKEN_JSON_DIGEST_H
#define FTA_TOKEN_JSON_DIGEST_H

#include "base/json.h"

/* The text must be a valid object, FTA_JSON_NOT_OBJECT otherwise; it is changed
 * by reading. Digests of one seed compare. */
fta_status fta_json_digest(char *text, size_t length, const fta_json_seed *seed,
                           uint64_t *out);

#endif
