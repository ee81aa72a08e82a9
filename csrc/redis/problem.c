#include "redis/problem.h"

#include <stddef.h>

void
fta_redis_problem_set(fta_redis_problem *problem, const char *text)
{
    size_t n = 0;
    for (; text[n] != '\0' && n + 1 < sizeof(problem->text); n++) {
        char c = text[n];
        problem->text[n] = c >= 0x20 && c < 0x7F ? c : '?';
    }
    problem->text[n] = '\0';
}

fta_status
fta_redis_fail(fta_redis_problem *problem, fta_status status, const char *text)
{
    fta_redis_problem_set(problem, text);
    return status;
}
