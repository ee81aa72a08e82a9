/* Why a call to Redis failed, in words for the log. */
#ifndef FTA_REDIS_PROBLEM_H
#define FTA_REDIS_PROBLEM_H

#include "base/status.h"

/* One line of printable ASCII; may be empty. */
typedef struct fta_redis_problem {
    char text[128];
} fta_redis_problem;

/* Cuts the text to size and replaces what is not printable ASCII by "?". */
void fta_redis_problem_set(fta_redis_problem *problem, const char *text);

/* Sets the problem and returns the status. */
fta_status fta_redis_fail(fta_redis_problem *problem, fta_status status,
                          const char *text);

#endif
