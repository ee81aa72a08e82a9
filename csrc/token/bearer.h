/* Bearer credentials in the value of an Authorization header (RFC 6750,
 * section 2.1; RFC 9110, section 11.4). */
#ifndef FTA_TOKEN_BEARER_H
#define FTA_TOKEN_BEARER_H

#include "base/text.h"

/* The text behind the scheme and its spaces. The case of the scheme does not
 * matter. data NULL if the scheme is another one or nothing follows it. The
 * token itself is not looked at. */
fta_text fta_bearer_token(fta_text authorization);

#endif
