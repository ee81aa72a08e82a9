/* A simulation of leases: many hosts, many keys, hours of traffic in seconds.
 * The hosts run lease.c, Redis runs its script. It prints the figures of
 * docs/redis.md, and fails where one of them is worse than it may be.
 *
 *   lease_simulation [WORDS]   the plans whose names have the words; all */
#include "lua_redis.h"

#include <math.h>
#include <time.h>

#define FTA_TURN_US 250000
/* As in csrc/limit/lease: how many leases of a host may be offered, and how
 * many of them at once. */
#define LISTED_MAX 1024
#define OFFERS_MAX 64
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
    double most_unused;  /* Of the permits that were wanted. */
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
    int64_t window;            /* The last that a permit was spent in. */
    bool is_open;              /* It has not ended. */
    uint32_t spent, asked_for; /* In it, or since it has ended. */
} key;

/* The keys of one host that may have something to offer. */
typedef struct list {
    uint32_t keys[LISTED_MAX]; /* One more than its number; 0: none. */
    uint64_t count;            /* Ever. */
} list;

typedef struct result {
    uint64_t requests, trips, refused, refused_though_free, over, calls;
    /* Of windows that have ended: permits that could have been spent, as there
     * were as many requests, and those of them that were not. */
    uint64_t wanted, unused;
    uint64_t sent;
} result;

static lua_redis redis;
static holding *holdings; /* Of each host one a key. */
static list *lists;       /* Of each host one. */
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

static void
end_window(const plan *p, key *k, result *r)
{
    uint32_t wanted = k->asked_for < p->limit ? k->asked_for : p->limit;
    r->wanted += wanted;
    r->unused += wanted > k->spent ? wanted - k->spent : 0;
    k->spent = k->asked_for = 0;
    k->is_open = false;
}

/* A permit is spent in that window. One of a window that has ended is over: the
 * requests of the next one are counted from there on. */
static void
spend(const plan *p, key *k, int64_t window, result *r)
{
    k->window = window;
    k->is_open = true;
    k->spent++;
    r->over += k->spent > p->limit;
}

static lua_redis_ask
question(const plan *p, size_t host, const char *name)
{
    return (lua_redis_ask){.strategy = "fixed-window",
                           .key = name,
                           .limit = p->limit,
                           .cost = 1,
                           .period_us = p->period_us,
                           .part = 0.5,
                           .host = 1 + (host * 2654435761u >> 8),
                           .nonce = (uint64_t)(chance() * 1e14) + 1};
}

/* One too many replaces the oldest. */
static void
list_lease(const plan *p, size_t host, size_t which)
{
    holding *of_host = &holdings[host * p->keys];
    list *l = &lists[host];
    uint32_t *entry = &l->keys[l->count++ % LISTED_MAX];
    if (*entry != 0) {
        of_host[*entry - 1].listed = false;
    }
    *entry = (uint32_t)which + 1;
    of_host[which].listed = true;
    of_host[which].seen = 0;
}

static void
request(const plan *p, size_t host, size_t which, int64_t now_us, result *r)
{
    holding *h = &holdings[host * p->keys + which];
    key *k = &keys[which];
    r->requests++;
    if (k->is_open && now_us >= k->window) {
        end_window(p, k, r);
    }
    k->asked_for++;
    if (now_us < h->refused_until) {
        r->refused++;
        r->refused_though_free += k->spent < p->limit;
        return;
    }
    if (fta_lease_take(&h->lease, 1, 0, now_us)) {
        r->over += now_us >= h->lease.window;
        spend(p, k, h->lease.window, r);
        return;
    }
    char name[24];
    (void)snprintf(name, sizeof name, "%zu", which);
    lua_redis_ask ask = question(p, host, name);
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
        list_lease(p, host, which);
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

/* What the store has answered to an offer. */
static void
settle(const plan *p, holding *h, uint32_t permits, int64_t answer,
       int64_t now_us, result *r)
{
    if (answer == 1) {
        h->received -= permits;
        r->sent += permits;
        return;
    }
    h->lease.left += permits;
    h->pause_us = fta_lease_pause(h->pause_us, p->period_us, answer == 2);
    h->due_us = now_us + h->pause_us;
}

static void
offer(const plan *p, size_t host, const uint32_t *which, size_t count,
      int64_t now_us, result *r)
{
    lua_redis_offer offers[OFFERS_MAX];
    char names[OFFERS_MAX][24];
    int64_t answers[LUA_REDIS_KEYS_MAX];
    holding *of_host = &holdings[host * p->keys];
    for (size_t i = 0; i < count; i++) {
        fta_lease *lease = &of_host[which[i]].lease;
        (void)snprintf(names[i], sizeof names[i], "%u", which[i]);
        offers[i] =
            (lua_redis_offer){names[i], fta_lease_take_out(lease, 1, 0, now_us),
                              lease->nonce, lease->window};
    }
    lua_redis_ask ask = question(p, host, NULL);
    lua_redis_take_back(&redis, &ask, offers, count, answers);
    r->calls++;
    for (size_t i = 0; i < count; i++) {
        settle(p, &of_host[which[i]], offers[i].permits, answers[i], now_us, r);
    }
}

/* One host offers what has rested for its pause. */
static void
take_turn(const plan *p, size_t host, int64_t now_us, result *r)
{
    list *l = &lists[host];
    uint32_t which[OFFERS_MAX];
    size_t count = 0, used = l->count < LISTED_MAX ? l->count : LISTED_MAX;
    for (size_t i = 0; i < used && count < OFFERS_MAX; i++) {
        if (l->keys[i] == 0) {
            continue;
        }
        holding *h = &holdings[host * p->keys + l->keys[i] - 1];
        if (h->lease.left == 0 || h->lease.end_us <= now_us) {
            h->listed = false;
            l->keys[i] = 0;
        } else if (h->seen != h->lease.left) {
            h->seen = h->lease.left;
            h->pause_us = FTA_TURN_US;
            h->due_us = now_us + h->pause_us;
        } else if (now_us >= h->due_us) {
            which[count++] = l->keys[i] - 1;
        }
    }
    if (count > 0) {
        offer(p, host, which, count, now_us, r);
    }
}

static bool
run(const plan *p)
{
    result r = {0};
    clock_t began = clock();
    int64_t now_us = 1790000000 * SECOND, end_us = now_us + p->lasts_us;
    int64_t turn_us = now_us;
    lua_redis_open(&redis, fta_redis_script);
    holdings = calloc(p->hosts * p->keys, sizeof *holdings);
    lists = calloc(p->hosts, sizeof *lists);
    keys = calloc(p->keys, sizeof *keys);
    sums = calloc(p->keys, sizeof *sums);
    if (holdings == NULL || lists == NULL || keys == NULL || sums == NULL) {
        abort();
    }
    double sum = 0;
    for (size_t i = 0; i < p->keys; i++) {
        sums[i] = sum += pow((double)(i + 1), -p->zipf);
    }
    while ((now_us += pause_of(p->per_second, p->zipf <= 0)) < end_us) {
        for (; turn_us + FTA_TURN_US <= now_us; turn_us += FTA_TURN_US) {
            lua_redis_set_time(&redis, turn_us + FTA_TURN_US);
            for (size_t host = 0; host < p->hosts; host++) {
                take_turn(p, host, turn_us + FTA_TURN_US, &r);
            }
        }
        lua_redis_set_time(&redis, now_us);
        size_t which =
            p->zipf > 0 ? choose_key(p) : (size_t)(r.requests % p->keys);
        request(p, choose_host(p, which, r.requests), which, now_us, &r);
    }
    double trips = (double)r.trips / (double)r.requests;
    double unused = (double)r.unused / (double)(r.wanted + (r.wanted == 0));
    double idle = (double)r.refused_though_free / (double)r.requests;
    bool holds = r.over == 0 &&
                 (p->most_trips == 0 || trips <= p->most_trips) &&
                 (p->most_refused == 0 || idle <= p->most_refused) &&
                 unused <= p->most_unused;
    printf("%-44s %8llu %9.4f %9.4f %8.3f %% %8.3f %% %10.3f %5llu %6.1f%s\n",
           p->name, (unsigned long long)r.requests, trips,
           (double)r.refused / (double)r.requests, 100 * idle, 100 * unused,
           (double)r.calls / (double)r.requests, (unsigned long long)r.over,
           (double)(clock() - began) / CLOCKS_PER_SEC,
           holds ? "" : "  TOO MUCH");
    free(holdings);
    free(lists);
    free(keys);
    free(sums);
    lua_redis_close(&redis);
    return holds;
}

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define MINUTES(n) ((n) * 60 * SECOND)

static const plan plans[] = {
    {"50 a minute, 40 sent, one host", 50, MINUTES(1), 1, 20, 40 / 60.0 * 20, 0,
     STICKY, MINUTES(30), 0.08, 0.001, 0.001},
    {"the same, a sticky host of 10", 50, MINUTES(1), 10, 20, 40 / 60.0 * 20, 0,
     STICKY, MINUTES(30), 0.08, 0.001, 0.001},
    {"the same, two hosts at random", 50, MINUTES(1), 2, 20, 40 / 60.0 * 20, 0,
     ANY, MINUTES(30), 0.25, 0.001, 0.001},
    {"the same, a new host each time", 50, MINUTES(1), 1000, 20, 40 / 60.0 * 20,
     0, NEXT, MINUTES(30), 1.02, 0.001, 0.001},
    {"1,000,000 an hour, 90 % sent, one host", 1000000, MINUTES(60), 1, 1, 250,
     0, ANY, MINUTES(60), 0.012, 0.001, 0.001},
    {"the same, 10 hosts", 1000000, MINUTES(60), 10, 1, 250, 0, ANY,
     MINUTES(60), 0.012, 0.001, 0.001},
    {"the same, 100 hosts", 1000000, MINUTES(60), 100, 1, 250, 0, ANY,
     MINUTES(60), 0.012, 0.001, 0.001},
};

/* 2,000 keys by Zipf, 600 a minute each, and hosts at random. At the lowest
 * rate one key in a thousand is beyond its limit, at the highest most requests
 * are to such keys. There a host is often refused while others spend the last
 * permits: what counts is how many of them nobody spends. */
static const size_t zipf_hosts[] = {1, 10, 100, 1000};
static const double zipf_rates[] = {200, 2000, 20000};

static plan
zipf_plan(size_t hosts, double per_second, char name[48])
{
    (void)snprintf(name, 48, "by Zipf, %zu hosts, %.0f a second", hosts,
                   per_second);
    return (plan){
        .name = name,
        .limit = 600,
        .period_us = MINUTES(1),
        .hosts = hosts,
        .keys = 2000,
        .per_second = per_second,
        .zipf = 1.1,
        .spread = ANY,
        .lasts_us = MINUTES(2),
        .most_unused = 0.02,
    };
}

int
main(int count, char **arguments)
{
    const char *words = count > 1 ? arguments[1] : "";
    bool holds = true, found = false;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%-44s %8s %9s %9s %10s %10s %10s %5s %6s\n", "", "requests",
           "waits", "refused", "though free", "unused", "background", "over",
           "cpu s");
    for (size_t i = 0; i < LENGTH(plans); i++) {
        if (strstr(plans[i].name, words) != NULL) {
            found = true;
            holds = run(&plans[i]) && holds;
        }
    }
    for (size_t i = 0; i < LENGTH(zipf_hosts) * LENGTH(zipf_rates); i++) {
        char name[48];
        plan p = zipf_plan(zipf_hosts[i / LENGTH(zipf_rates)],
                           zipf_rates[i % LENGTH(zipf_rates)], name);
        if (strstr(name, words) != NULL) {
            found = true;
            holds = run(&p) && holds;
        }
    }
    return holds && found ? 0 : 1;
}
