/* What decides how a response is completed: its status, and the names of its
 * header fields. */
#ifndef FTA_HTTP_RESPONSE_H
#define FTA_HTTP_RESPONSE_H

#include <stdbool.h>

#include "base/text.h"

/* The code at the beginning of a status as "404 NOT FOUND" (PEP 3333;
 * RFC 9110, 15); 0 for a text that does not begin with three digits. */
int fta_status_code(fta_text status);

/* Whether a response needs nothing but header fields that are prepared. Not so
 * a 401, which counts as a failed authentication and may become a 429, and the
 * response to OPTIONS, which may be that of a preflight request. */
bool fta_response_is_ordinary(int status_code, fta_text method);

/* Whether two header fields have one name: ASCII, in any case (RFC 9110,
 * 5.1). */
bool fta_field_names_equal(fta_text a, fta_text b);

#endif
