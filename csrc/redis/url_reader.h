/* May be included by csrc/redis/url*.c alone. Reading the parts of a URL. */
#ifndef FTA_REDIS_URL_READER_H
#define FTA_REDIS_URL_READER_H

#include <stdbool.h>

#include "base/text.h"
#include "redis/url.h"

/* The URL that is being read, and the first problem with it. Each function that
 * returns false has set the problem, where it takes a reader. */
typedef struct fta_redis_url_reader {
    fta_redis_url *url;
    const char *problem;
} fta_redis_url_reader;

/* Sets the problem and returns false. */
bool fta_redis_url_fail(fta_redis_url_reader *r, const char *problem);

/* Whatever the case of ASCII letters. */
bool fta_redis_url_equals(fta_text s, const char *text);

/* Cuts s at the first separator. Returns the part before it, and leaves the
 * part behind it in s. *found says whether there was one. */
fta_text fta_redis_url_cut(fta_text *s, char separator, bool *found);

/* Percent-decodes into the arena. The arena has enough space, because decoding
 * never makes a text longer, and each text of a URL has a separator before it,
 * whose octet is used for the NUL. */
bool fta_redis_url_decode(fta_redis_url_reader *r, fta_text s,
                          const char **out);

bool fta_redis_url_read_number(fta_text s, unsigned lowest, unsigned highest,
                               unsigned *out);
bool fta_redis_url_read_database(fta_redis_url_reader *r, fta_text s);

/* The parameters after "?" (url_parameters.c). */
bool fta_redis_url_read_query(fta_redis_url_reader *r, fta_text s);

#endif
