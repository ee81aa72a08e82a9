/* What one hit in the shared table costs, and what a second process adds.
 *
 * Built from this file and all of csrc/core, with the libraries that the
 * extension is linked with. Each figure is the best of several runs, since
 * what disturbs a run only ever makes it slower. Times of one process are its
 * own on the CPU. For two processes there is the time that passed, which other
 * programs on the machine make longer, and their own on the CPU, which only
 * getting in each other's way does. */
#include "counter_shm.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS 5
#define HITS 2000000
#define PERIOD_US (INT64_C(3600) * 1000000)

/* As long as the key of a limit per user: tenant, user, scope, rate. */
#define KEY_BYTES 61

static fta_counter_shm *counter;

/* What the processes share. */
static struct together {
    atomic_int go;
    double seconds[2];
} *together;

static double
seconds_of(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* CPU seconds for HITS hits on so many keys, in an order that no cache guesses.
 */
static double
run(fta_strategy strategy, uint32_t first_key, uint32_t keys, size_t limits,
    uint32_t limit)
{
    uint8_t key[FTA_HITS_MAX][KEY_BYTES] = {{0}};
    fta_hit hits[FTA_HITS_MAX];
    for (size_t k = 0; k < limits; k++) {
        key[k][KEY_BYTES - 1] = (uint8_t)k;
        hits[k] = (fta_hit){.key = key[k],
                            .key_length = KEY_BYTES,
                            .limit = limit,
                            .cost = 1,
                            .period_us = PERIOD_US};
    }
    fta_verdict verdict;
    uint32_t random = 1;
    double start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; i < HITS; i++) {
        random = random * 1664525u + 1013904223u;
        uint32_t number =
            first_key + (uint32_t)(((uint64_t)random * keys) >> 32);
        for (size_t k = 0; k < limits; k++) {
            memcpy(key[k], &number, sizeof number);
        }
        fta_counter_shm_hit(counter, strategy, FTA_COUNT, hits, limits,
                            &verdict);
    }
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start;
}

static void
report_one_process(const char *what, fta_strategy strategy, uint32_t keys,
                   size_t limits, uint32_t limit)
{
    double best = 1e9;
    (void)run(strategy, 0, keys, limits, limit); /* So that all keys exist. */
    for (int i = 0; i < RUNS; i++) {
        double seconds = run(strategy, 0, keys, limits, limit);
        best = seconds < best ? seconds : best;
    }
    printf("%-44s %5.0f ns\n", what, best / HITS * 1e9);
}

typedef struct timing {
    double passed; /* Hits a second of all processes together. */
    double on_cpu; /* The same, had each had a CPU of its own. */
} timing;

static timing
throughput(int processes, bool same_keys, uint32_t keys)
{
    timing best = {0, 0};
    for (int i = 0; i < RUNS; i++) {
        double cpu = 0, start;
        atomic_store(&together->go, 0);
        for (int p = 0; p < processes; p++) {
            if (fork() == 0) {
                while (!atomic_load(&together->go)) {
                }
                together->seconds[p] =
                    run(FTA_FIXED_WINDOW, same_keys ? 0 : (uint32_t)p * keys,
                        keys, 1, FTA_RATE_LIMIT_MAX);
                _exit(0);
            }
        }
        start = seconds_of(CLOCK_MONOTONIC);
        atomic_store(&together->go, 1);
        while (wait(NULL) > 0) {
        }
        double passed =
            processes * HITS / (seconds_of(CLOCK_MONOTONIC) - start);
        for (int p = 0; p < processes; p++) {
            cpu += HITS / together->seconds[p];
        }
        best.passed = passed > best.passed ? passed : best.passed;
        best.on_cpu = cpu > best.on_cpu ? cpu : best.on_cpu;
    }
    return best;
}

static void
report_two_processes(const char *what, bool same_keys, uint32_t keys)
{
    timing one = throughput(1, same_keys, keys);
    timing two = throughput(2, same_keys, keys);
    printf("%-44s %5.2f times one; on the CPU %5.2f times\n", what,
           two.passed / one.passed, two.on_cpu / one.on_cpu);
}

int
main(void)
{
    fta_counter_shm_options options = {.bytes = (size_t)16 << 20};
    int error;
    if (fta_counter_shm_open(&options, &counter, &error) != FTA_OK) {
        fprintf(stderr, "no memory for the table\n");
        return 1;
    }
    together = mmap(NULL, sizeof *together, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (together == MAP_FAILED) {
        return 1;
    }
    report_one_process("fixed window, one client", FTA_FIXED_WINDOW, 1, 1,
                       FTA_RATE_LIMIT_MAX);
    report_one_process("fixed window, one client, refused", FTA_FIXED_WINDOW, 1,
                       1, 50);
    report_one_process("fixed window, 1,000 clients", FTA_FIXED_WINDOW, 1000, 1,
                       FTA_RATE_LIMIT_MAX);
    report_one_process("fixed window, 300,000 clients", FTA_FIXED_WINDOW,
                       300000, 1, FTA_RATE_LIMIT_MAX);
    report_one_process("sliding window counter, 1,000 clients",
                       FTA_SLIDING_WINDOW_COUNTER, 1000, 1, FTA_RATE_LIMIT_MAX);
    report_one_process("gcra, 1,000 clients", FTA_GCRA, 1000, 1,
                       FTA_RATE_LIMIT_MAX);
    report_one_process("fixed window, 1,000 clients, 2 limits each",
                       FTA_FIXED_WINDOW, 1000, 2, FTA_RATE_LIMIT_MAX);
    report_two_processes("2 processes, 1,000 clients each", false, 1000);
    report_two_processes("2 processes, the same 1,000 clients", true, 1000);
    report_two_processes("2 processes, the same client", true, 1);
    fta_counter_shm_close(counter);
    return 0;
}
