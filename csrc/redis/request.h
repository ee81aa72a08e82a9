/* Commands in the form in which they are sent. hiredis formats them. */
#ifndef FTA_REDIS_REQUEST_H
#define FTA_REDIS_REQUEST_H

#include <stddef.h>

#include "base/status.h"

/* The words of one command: its name, and its arguments. All Borrowed. */
typedef struct fta_redis_command {
    int argc;
    const char *const *argv;
    const size_t *lengths; /* of the words */
} fta_redis_command;

/* One or more formatted commands, which are sent together. */
typedef struct fta_redis_request {
    char *bytes; /* Owned; secret when it holds a password */
    size_t length;
} fta_redis_request;

fta_status fta_redis_request_append(fta_redis_request *request,
                                    const fta_redis_command *command);

/* Wipes it. */
void fta_redis_request_free(fta_redis_request *request);

#endif
