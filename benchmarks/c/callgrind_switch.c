/* Lets a Python program count the instructions of a stretch of its own run
 * under valgrind's callgrind; outside it these calls do nothing. */
#include <valgrind/callgrind.h>

void
start_counting(void)
{
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

/* Writes what was counted since the start into a file with this label. */
void
stop_counting(const char *label)
{
    CALLGRIND_DUMP_STATS_AT(label);
    CALLGRIND_STOP_INSTRUMENTATION;
}
