/* Bearer credentials in the value of an Authorization header (RFC 6750,
 * section 2.1; RFC 9110, section 11.4). */
#ifndef FTA_TOKEN_BEARER_H
#define FTA_TOKEN_BEARER_H

#include "base/text.h"

/* What follows the scheme, whose case does not matter, and one or more
 * spaces; data NULL when that is nothing or the scheme is another one. The
 * token itself is not judged here. */
fta_text fta_bearer_token(fta_text authorization);

#endif
