/* A simulation of leases: many hosts, many keys, hours of traffic in seconds.
 * The hosts run lease.c, Redis runs its script. It prints the figures of
 * docs/redis.md, and fails where one of them is worse than it may be.
 *
 *   lease_simulation [--long] */
#include "lua_redis.h"

#include <math.h>

#define FTA_TURN_US 250000
#define SECOND INT64_C(1000000)

/* -- Random numbers -------------------------------------------------------- */

static uint64_t random_state = 88172645463325252u;

static double
chance(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

/* Until the next request: about the same each time, or as it comes. */
static int64_t
pause_of(double per_second, bool paced)
{
    double pauses = paced ? 0.5 + chance() : -log(1 - chance());
    return (int64_t)(pauses / per_second * 1e6) + 1;
}

/* -- What is simulated ----------------------------------------------------- */

enum spread { STICKY, ANY, NEXT }; /* Which host a request comes to. */

typedef struct plan {
    const char *name;
    uint32_t limit;
    int64_t period_us;
    size_t hosts, keys;
    double per_second; /* Of all keys together. */
    double zipf;       /* The exponent; 0: each key as often, and in turn. */
    enum spread spread;
    int64_t lasts_us;
    double most_trips;   /* A request; 0: whatever. */
    double most_refused; /* Though free, of all; 0: whatever. */
} plan;

typedef struct holding {
    fta_lease lease;
    uint32_t received; /* As spent since the last answer: less what is left. */
    int64_t received_us;
    int64_t refused_until;
    bool listed;
    uint32_t seen; /* At the last turn. */
    int64_t due_us, pause_us;
} holding;

typedef struct key {
    int64_t window;
    uint32_t spent; /* In it. */
} key;

typedef struct result {
    uint64_t requests, trips, refused, refused_though_free, over, calls;
    uint64_t sent;
} result;

static lua_redis redis;
static holding *holdings;
static uint32_t *listed; /* Holdings that may have something to offer. */
static size_t listed_count;
static int64_t *last_caller; /* When each host has offered. */
static key *keys;
static double *sums; /* Of the shares of the keys, by Zipf. */

static size_t
choose_key(const plan *p)
{
    double at = chance() * sums[p->keys - 1];
    size_t low = 0, high = p->keys - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sums[middle] < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t
choose_host(const plan *p, size_t which, uint64_t request)
{
    switch (p->spread) {
    case STICKY:
        return which * 7919 % p->hosts;
    case NEXT:
        return (size_t)(request % p->hosts);
    default:
        return (size_t)(chance() * (double)p->hosts);
    }
}

/* A permit is spent at that time: what it counts for is the window of then. */
static void
spend(const plan *p, key *k, int64_t window, result *r)
{
    if (window != k->window) {
        k->window = window;
        k->spent = 0;
    }
    k->spent++;
    r->over += k->spent > p->limit;
}

static lua_redis_ask
question(const plan *p, size_t host, size_t which, char name[24])
{
    (void)snprintf(name, 24, "%zu", which);
    return (lua_redis_ask){.strategy = "fixed-window",
                           .key = name,
                           .limit = p->limit,
                           .cost = 1,
                           .period_us = p->period_us,
                           .part = 0.5,
                           .host = (unsigned)(host * 2654435761u >> 8) % 48,
                           .nonce = (uint64_t)(chance() * 1e14) + 1};
}

static void
request(const plan *p, size_t host, size_t which, int64_t now_us, result *r)
{
    holding *h = &holdings[host * p->keys + which];
    key *k = &keys[which];
    r->requests++;
    if (now_us < h->refused_until) {
        r->refused++;
        r->refused_though_free += k->spent < p->limit || now_us >= k->window;
        return;
    }
    if (fta_lease_take(&h->lease, 1, 0, now_us)) {
        r->over += now_us >= h->lease.window;
        spend(p, k, h->lease.window, r);
        return;
    }
    char name[24];
    lua_redis_ask ask = question(p, host, which, name);
    ask.spent = h->received - h->lease.left;
    ask.most = fta_lease_most(ask.spent, now_us - h->received_us);
    fta_grant grant;
    int64_t retry_us;
    r->trips++;
    bool allowed = lua_redis_lease(&redis, &ask, &retry_us, &grant);
    fta_lease_receive(&h->lease, &grant, now_us, 1, 0, now_us);
    h->received = h->lease.left;
    h->received_us = now_us;
    if (h->lease.left > 0 && !h->listed) {
        h->listed = true;
        listed[listed_count++] = (uint32_t)(host * p->keys + which);
    }
    if (allowed) {
        spend(p, k, grant.window, r);
    } else {
        r->refused++;
        r->refused_though_free += k->spent < p->limit;
        h->refused_until =
            now_us + (retry_us < 60 * SECOND ? retry_us : 60 * SECOND);
    }
}

/* What each host offers in its turn. */
static void
take_turns(const plan *p, int64_t now_us, result *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < listed_count; i++) {
        holding *h = &holdings[listed[i]];
        size_t host = listed[i] / p->keys, which = listed[i] % p->keys;
        if (h->lease.left == 0 || h->lease.end_us <= now_us) {
            h->listed = false;
            continue;
        }
        listed[kept++] = listed[i];
        if (h->seen != h->lease.left) {
            h->seen = h->lease.left;
            h->pause_us = FTA_TURN_US;
            h->due_us = now_us + h->pause_us;
        } else if (now_us >= h->due_us) {
            char name[24];
            lua_redis_ask ask = question(p, host, which, name);
            uint32_t permits = fta_lease_take_out(&h->lease, 1, 0, now_us);
            r->calls += last_caller[host] != now_us;
            last_caller[host] = now_us;
            int taken = lua_redis_take_back(&redis, &ask, permits,
                                            h->lease.nonce, h->lease.window);
            if (taken == 1) {
                h->received -= permits;
                r->sent += permits;
            } else {
                h->lease.left += permits;
                h->pause_us =
                    fta_lease_pause(h->pause_us, p->period_us, taken == 2);
                h->due_us = now_us + h->pause_us;
            }
        }
    }
    listed_count = kept;
}

static bool
run(const plan *p)
{
    result r = {0};
    int64_t now_us = 1790000000 * SECOND, end_us = now_us + p->lasts_us;
    int64_t turn_us = now_us;
    lua_redis_open(&redis, fta_redis_script);
    holdings = calloc(p->hosts * p->keys, sizeof *holdings);
    listed = calloc(p->hosts * p->keys, sizeof *listed);
    listed_count = 0;
    last_caller = calloc(p->hosts, sizeof *last_caller);
    keys = calloc(p->keys, sizeof *keys);
    sums = calloc(p->keys, sizeof *sums);
    if (holdings == NULL || listed == NULL || last_caller == NULL ||
        keys == NULL || sums == NULL) {
        abort();
    }
    double sum = 0;
    for (size_t i = 0; i < p->keys; i++) {
        sums[i] = sum += pow((double)(i + 1), -p->zipf);
    }
    while ((now_us += pause_of(p->per_second, p->zipf <= 0)) < end_us) {
        for (; turn_us + FTA_TURN_US <= now_us; turn_us += FTA_TURN_US) {
            lua_redis_set_time(&redis, turn_us + FTA_TURN_US);
            take_turns(p, turn_us + FTA_TURN_US, &r);
        }
        lua_redis_set_time(&redis, now_us);
        size_t which =
            p->zipf > 0 ? choose_key(p) : (size_t)(r.requests % p->keys);
        request(p, choose_host(p, which, r.requests), which, now_us, &r);
    }
    double trips = (double)r.trips / (double)r.requests;
    double idle = (double)r.refused_though_free / (double)r.requests;
    bool holds = r.over == 0 &&
                 (p->most_trips == 0 || trips <= p->most_trips) &&
                 (p->most_refused == 0 || idle <= p->most_refused);
    printf("%-44s %8llu %9.4f %9.4f %8.3f %% %10.3f %5llu%s\n", p->name,
           (unsigned long long)r.requests, trips,
           (double)r.refused / (double)r.requests, 100 * idle,
           (double)r.calls / (double)r.requests, (unsigned long long)r.over,
           holds ? "" : "  TOO MUCH");
    free(holdings);
    free(listed);
    free(last_caller);
    free(keys);
    free(sums);
    lua_redis_close(&redis);
    return holds;
}

#define MINUTES(n) ((n) * 60 * SECOND)

static const plan plans[] = {
    {"50 a minute, 40 sent, one host", 50, MINUTES(1), 1, 20, 40 / 60.0 * 20, 0,
     STICKY, MINUTES(30), 0.08, 0.001},
    {"the same, a sticky host of 10", 50, MINUTES(1), 10, 20, 40 / 60.0 * 20, 0,
     STICKY, MINUTES(30), 0.08, 0.001},
    {"the same, two hosts at random", 50, MINUTES(1), 2, 20, 40 / 60.0 * 20, 0,
     ANY, MINUTES(30), 0.25, 0.001},
    {"the same, a new host each time", 50, MINUTES(1), 1000, 20, 40 / 60.0 * 20,
     0, NEXT, MINUTES(30), 1.02, 0.001},
    {"1,000,000 an hour, 90 % sent, one host", 1000000, MINUTES(60), 1, 1, 250,
     0, ANY, MINUTES(60), 0.012, 0.001},
    {"the same, 10 hosts", 1000000, MINUTES(60), 10, 1, 250, 0, ANY,
     MINUTES(60), 0.012, 0.001},
    {"the same, 100 hosts", 1000000, MINUTES(60), 100, 1, 250, 0, ANY,
     MINUTES(60), 0.012, 0.001},
    {"1,000 hosts, 2,000 keys by Zipf, 600 a minute", 600, MINUTES(1), 1000,
     2000, 2000, 1.1, ANY, MINUTES(3), 0, 0.001},
};

int
main(void)
{
    bool holds = true;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%-44s %8s %9s %9s %10s %10s %5s\n", "", "requests", "waits",
           "refused", "though free", "background", "over");
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        holds = run(&plans[i]) && holds;
    }
    return holds ? 0 : 1;
}
