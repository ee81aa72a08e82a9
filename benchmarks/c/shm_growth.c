/* shm_growth ROUNDS: nanoseconds of one hit in shared memory, by how many users
 * come in a random order and how many limits each hit counts. And of one hit of
 * one key, by one process and by two at once. */
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

enum { HITS = 20000, USERS = 100000, LIMITS_MOST = 4, KEY_SIZE = 48 };

typedef struct shape {
    const char *name;
    uint64_t users;
    size_t limits;
} shape;

static const shape shapes[] = {
    {"1 limit, 1 user", 1, 1},
    {"1 limit, 1,000 users", 1000, 1},
    {"1 limit, 100,000 users", USERS, 1},
    {"4 limits, 1 user", 1, LIMITS_MOST},
    {"4 limits, 1,000 users", 1000, LIMITS_MOST},
    {"4 limits, 100,000 users", USERS, LIMITS_MOST},
};

static int
hit_user(fta_shm_table *table, uint64_t user, size_t limits)
{
    uint8_t keys[LIMITS_MOST][KEY_SIZE];
    fta_hit hits[LIMITS_MOST];
    fta_verdict verdict;
    for (size_t i = 0; i < limits; i++) {
        uint64_t number = user * LIMITS_MOST + i;
        memset(keys[i], 'k', KEY_SIZE);
        memcpy(keys[i], &number, sizeof number);
        hits[i] = (fta_hit){.key = keys[i],
                            .key_length = KEY_SIZE,
                            .limit = FTA_RATE_LIMIT_MAX,
                            .cost = 1,
                            .period_us = 3600000000};
    }
    const fta_hits request = {&fta_strategy_fixed_window, FTA_COUNT, hits,
                              limits};
    fta_shm_table_hit(table, &request, &verdict);
    return verdict.allowed;
}

/* Nanoseconds of a hit of users in a random order. */
static double
time_hits(fta_shm_table *table, const shape *shape)
{
    uint64_t random = UINT64_C(88172645463325252); /* of a xorshift */
    int good = 1;
    double start = cpu_seconds();
    for (int i = 0; i < HITS; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        good &= hit_user(table, random % shape->users, shape->limits);
    }
    double seconds = cpu_seconds() - start;
    require(good, "every hit is allowed");
    return seconds / HITS * 1e9;
}

static void
stay_on(int which)
{
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
}

typedef struct shared_figures {
    atomic_int arrived;
    double figures[2];
} shared_figures;

/* So many processes hit one key at once: the figure of the slower one. */
static double
time_one_key(fta_shm_table *table, shared_figures *shared, int processes)
{
    pid_t children[2];
    atomic_store(&shared->arrived, 0);
    shared->figures[0] = shared->figures[1] = 0;
    for (int me = 0; me < processes; me++) {
        children[me] = fork();
        require(children[me] >= 0, "there is room for another process");
        if (children[me] == 0) {
            stay_on(me);
            (void)time_hits(table, &shapes[0]); /* warms up */
            atomic_fetch_add(&shared->arrived, 1);
            while (atomic_load(&shared->arrived) < processes) {
            }
            shared->figures[me] = time_hits(table, &shapes[0]);
            _exit(0);
        }
    }
    for (int me = 0; me < processes; me++) {
        int status;
        require(waitpid(children[me], &status, 0) == children[me] &&
                    status == 0,
                "each process did its part");
    }
    return shared->figures[0] > shared->figures[1] ? shared->figures[0]
                                                   : shared->figures[1];
}

int
main(int argc, char **argv)
{
    require(argc == 2, "the argument is ROUNDS");
    int rounds = atoi(argv[1]);
    const fta_shm_table_options options = {.bytes = (size_t)32 << 20};
    fta_shm_table *table = NULL;
    int error;
    require(fta_shm_table_open(&options, &table, &error) == FTA_OK,
            "there is memory for a table");
    shared_figures *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(shared != MAP_FAILED, "there is memory");
    for (uint64_t user = 0; user < USERS; user++) {
        require(hit_user(table, user, LIMITS_MOST), "the first hit is allowed");
    }
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            print_figure(shapes[i].name, time_hits(table, &shapes[i]));
        }
        print_figure("one key, 1 process", time_one_key(table, shared, 1));
        print_figure("one key, 2 processes", time_one_key(table, shared, 2));
    }
    fta_shm_table_close(table);
    return 0;
}
