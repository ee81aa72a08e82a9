/* What becomes of a response because of its status. */
#ifndef FTA_HTTP_RESPONSE_H
#define FTA_HTTP_RESPONSE_H

#include <stdbool.h>

#include "base/text.h"

/* The code at the beginning of a status as "404 NOT FOUND" (PEP 3333;
 * RFC 9110, 15); 0 for a text that does not begin with three digits. */
int fta_status_code(fta_text status);

/* How far a response is. */
typedef struct fta_response_progress {
    bool sent;     /* the server has been given a status */
    bool replaced; /* it is sent in place of the application's */
} fta_response_progress;

/* Whether a response says that an authentication failed, so that it counts
 * against AUTH_FAILURE_LIMIT: a 401, before any of it is sent. One that is sent
 * in place of another is counted already. */
bool fta_response_is_failure(int status_code, fta_response_progress progress);

#endif
