/* shm_table ROUNDS: nanoseconds of one hit in shared memory, by one process and
 * by two at once. Then how many of a million keys a table of 64 bytes for each
 * key evicts. */
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

/* Nanoseconds of a hit. Each process counts other users. The window ends before
 * the limit is reached. */
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
    require(good, "every hit is allowed");
    return seconds / HITS * 1e9;
}

/* Gives each process a processor of its own. A scheduler can leave a fork on
 * the processor of its parent for longer than a round. */
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

typedef struct shared_figures {
    atomic_int arrived;
    double figures[2];
} shared_figures;

/* Both processes start together. The result is the figure of the slower one. */
static double
time_two_processes(fta_shm_table *table, shared_figures *shared)
{
    atomic_store(&shared->arrived, 0);
    pid_t children[2];
    for (int me = 0; me < 2; me++) {
        children[me] = fork();
        require(children[me] >= 0, "there is room for another process");
        if (children[me] == 0) {
            stay_on(me);
            (void)time_hits(table, (uint64_t)me * USERS); /* warms up */
            atomic_fetch_add(&shared->arrived, 1);
            while (atomic_load(&shared->arrived) < 2) {
            }
            shared->figures[me] = time_hits(table, (uint64_t)me * USERS);
            _exit(0);
        }
    }
    for (int me = 0; me < 2; me++) {
        int status;
        require(waitpid(children[me], &status, 0) == children[me] &&
                    status == 0,
                "each process did its part");
    }
    return shared->figures[0] > shared->figures[1] ? shared->figures[0]
                                                   : shared->figures[1];
}

/* A table without a file. Forks share its pages too. */
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

/* How many of a million live keys a table of 64 bytes for each key evicts. */
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
    shared_figures *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(shared != MAP_FAILED, "there is memory");
    for (int round = 0; round < rounds; round++) {
        print_figure("1 process", time_hits(table, 0));
        print_figure("2 processes", time_two_processes(table, shared));
    }
    fta_shm_table_close(table);
    for (int i = 0; i < 5; i++) {
        print_figure("keys lost", keys_lost());
    }
    return 0;
}
