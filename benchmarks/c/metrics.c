/* metrics ROUNDS: nanoseconds of what is counted, in CPU time: one addition and
 * one duration, by one process and by two at once; the same where both count in
 * one cell, as without stripes; a request and its decision; the same requests
 * where the console is counted for. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "metrics/requests.h"
#include "timing.h"

enum { TIMES = 200000 };

/* The one that counts, without the console or with it. */
static fta_metrics *metrics;
static _Atomic uint64_t *one_cell;
static const fta_limit limit = {
    {50, 60}, 1, FTA_PER_USER, {"api.accounts list_accounts 0", 28}};

static void
add(void)
{
    fta_metrics_add(metrics, FTA_METRIC_OF_REQUESTS, FTA_OUTCOME_ALLOWED, 1);
}

static void
add_to_one_cell(void)
{
    atomic_fetch_add_explicit(one_cell, 1, memory_order_relaxed);
}

static void
observe(void)
{
    fta_metrics_observe(metrics, FTA_METRIC_OF_VERIFICATION, 4000);
}

static void
count_answer(void)
{
    const fta_metrics_answer answer = {.status = 200};
    fta_metrics_count_answer(metrics, &answer);
}

static void
count_denial(void)
{
    const fta_metrics_answer answer = {401, {"expired", 7}, NULL, NULL};
    fta_metrics_count_answer(metrics, &answer);
}

static void
count_limited(void)
{
    static const fta_uuid tenant = {{1}}, user = {{2}};
    const fta_metrics_answer answer = {
        429, {"rate_limit_exceeded", 19}, &tenant, &user};
    fta_metrics_count_answer(metrics, &answer);
}

static void
count_decision(void)
{
    const fta_limit *const limits[] = {&limit};
    const fta_limiter_request request = {FTA_COUNT, limits, 1, NULL};
    const fta_limiter_answer answer = {.verdict = {.allowed = true},
                                       .store = "memory"};
    fta_metrics_count_decision(metrics, &request, &answer);
}

static double
time_one(void (*count)(void))
{
    double start = cpu_seconds();
    for (int i = 0; i < TIMES; i++) {
        count();
    }
    return (cpu_seconds() - start) / TIMES * 1e9;
}

/* The mean of two processes that count at the same time. */
static double
time_two(void (*count)(void))
{
    double *seconds = mmap(NULL, sizeof *seconds, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(seconds != MAP_FAILED, "there is memory");
    pid_t child = fork();
    double own = time_one(count);
    if (child == 0) {
        *seconds = own;
        _exit(0);
    }
    require(waitpid(child, NULL, 0) == child, "the child has ended");
    double mean = (own + *seconds) / 2;
    (void)munmap(seconds, sizeof *seconds);
    return mean;
}

static fta_metrics *
open_metrics(bool console)
{
    const fta_metrics_options options = {.prefix = {"bench", 5},
                                         .console = console};
    fta_metrics *opened;
    int unshared;
    require(fta_metrics_open(&options, &opened, &unshared) == FTA_OK,
            "the counters can be made");
    return opened;
}

static void
time_counters(void)
{
    print_figure("an addition", time_one(add));
    print_figure("an addition, 2 processes", time_two(add));
    print_figure("the same in one cell, 2 processes",
                 time_two(add_to_one_cell));
    print_figure("a duration", time_one(observe));
    print_figure("a request", time_one(count_answer));
    print_figure("a denied request", time_one(count_denial));
    print_figure("a limited request", time_one(count_limited));
    print_figure("a decision of one limit", time_one(count_decision));
}

static void
time_console(void)
{
    print_figure("a request, with the console", time_one(count_answer));
    print_figure("a request, with the console, 2 processes",
                 time_two(count_answer));
    print_figure("a denied request, with the console", time_one(count_denial));
    print_figure("a limited request, with the console",
                 time_one(count_limited));
}

int
main(int count, char **arguments)
{
    require(count == 2, "the number of rounds is given");
    fta_metrics *without = open_metrics(false), *with = open_metrics(true);
    one_cell = mmap(NULL, sizeof *one_cell, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(one_cell != MAP_FAILED, "there is memory");
    for (int round = atoi(arguments[1]); round > 0; round--) {
        metrics = without;
        time_counters();
        metrics = with;
        time_console();
    }
    fta_metrics_close(with);
    fta_metrics_close(without);
    return 0;
}
