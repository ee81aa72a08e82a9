/* shm_table ROUNDS: one hit in shared memory, by one process and by two at
 * once, nanoseconds; and how many of a million keys find no place at 64 bytes
 * each. */
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limit/shm/table.h"
#include "limit/strategy.h"
#include "timing.h"

enum { HITS = 100000, KEYS = 1000000, USERS = 1024, KEY_SIZE = 48 };

static fta_hit
hit_of(const uint8_t *key, int64_t period_us)
{
    return (fta_hit){.key = key,
                     .key_length = KEY_SIZE,
                     .limit = FTA_RATE_LIMIT_MAX,
                     .cost = 1,
                     .period_us = period_us};
}

static void
make_key(uint8_t key[KEY_SIZE], uint64_t number)
{
    memset(key, 'k', KEY_SIZE);
    memcpy(key + KEY_SIZE - sizeof number, &number, sizeof number);
}

/* Nanoseconds per hit. Different processes serve different users, as they
 * mostly do. The limit is never reached: its window is over before. */
static double
time_hits(fta_shm_table *table, uint64_t first)
{
    static uint8_t keys[USERS][KEY_SIZE];
    fta_verdict verdict;
    for (uint64_t user = 0; user < USERS; user++) {
        make_key(keys[user], first + user);
    }
    int good = 1;
    double start = cpu_seconds();
    for (int i = 0; i < HITS; i++) {
        fta_hit hit = hit_of(keys[i % USERS], 1000000);
        const fta_hits request = {&fta_strategy_fixed_window, FTA_COUNT, &hit,
                                  1};
        fta_shm_table_hit(table, &request, &verdict);
        good &= verdict.allowed;
    }
    double seconds = cpu_seconds() - start;
    require(good, "every hit is let pass");
    return seconds / HITS * 1e9;
}

/* Each process on a processor of its own: schedulers can leave a fork beside
 * its parent for longer than a round lasts. */
static void
stay_on(int which)
{
#ifdef __linux__
    cpu_set_t allowed, one;
    require(sched_getaffinity(0, sizeof allowed, &allowed) == 0,
            "the processors are known");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && which-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            (void)sched_setaffinity(0, sizeof one, &one);
        }
    }
#else
    (void)which;
#endif
}

typedef struct meeting {
    atomic_int arrived;
    double figures[2];
} meeting;

/* Both processes start together; the slower one's figure counts. */
static double
time_two_processes(fta_shm_table *table, meeting *meeting)
{
    atomic_store(&meeting->arrived, 0);
    pid_t children[2];
    for (int me = 0; me < 2; me++) {
        children[me] = fork();
        require(children[me] >= 0, "there is room for another process");
        if (children[me] == 0) {
            stay_on(me);
            (void)time_hits(table, (uint64_t)me * USERS); /* warms up */
            atomic_fetch_add(&meeting->arrived, 1);
            while (atomic_load(&meeting->arrived) < 2) {
            }
            meeting->figures[me] = time_hits(table, (uint64_t)me * USERS);
            _exit(0);
        }
    }
    for (int me = 0; me < 2; me++) {
        int status;
        require(waitpid(children[me], &status, 0) == children[me] &&
                    status == 0,
                "each process did its part");
    }
    return meeting->figures[0] > meeting->figures[1] ? meeting->figures[0]
                                                     : meeting->figures[1];
}

/* A table in private memory: the pages are shared with forks all the same. */
static fta_shm_table *
open_table(size_t bytes)
{
    const fta_shm_table_options options = {.bytes = bytes};
    fta_shm_table *table = NULL;
    int error;
    require(fta_shm_table_open(&options, &table, &error) == FTA_OK,
            "there is memory for a table");
    return table;
}

/* A million live keys in a table of 64 bytes for each: what is lost. */
static double
keys_lost(void)
{
    fta_shm_table *table = open_table((size_t)KEYS * 64);
    for (uint64_t number = 0; number < KEYS; number++) {
        uint8_t key[KEY_SIZE];
        fta_verdict verdict;
        make_key(key, number);
        fta_hit hit = hit_of(key, 3600000000);
        const fta_hits request = {&fta_strategy_fixed_window, FTA_COUNT, &hit,
                                  1};
        fta_shm_table_hit(table, &request, &verdict);
    }
    fta_shm_table_usage usage;
    fta_shm_table_usage_read(table, &usage);
    require(usage.bytes <= (size_t)KEYS * 64, "the memory is what was stated");
    require(usage.slots_used + usage.evictions == KEYS,
            "every key is counted or was evicted");
    fta_shm_table_close(table);
    return (double)usage.evictions;
}

int
main(int argc, char **argv)
{
    require(argc == 2, "the argument is ROUNDS");
    int rounds = atoi(argv[1]);
    fta_shm_table *table = open_table((size_t)16 << 20);
    meeting *meeting = mmap(NULL, sizeof *meeting, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(meeting != MAP_FAILED, "there is memory");
    for (int round = 0; round < rounds; round++) {
        tell("1 process", time_hits(table, 0));
        tell("2 processes", time_two_processes(table, meeting));
    }
    fta_shm_table_close(table);
    for (int i = 0; i < 5; i++) {
        tell("keys lost", keys_lost());
    }
    return 0;
}
