/* A model checker of leases. Three hosts and one Redis; every order of what may
 * happen to them, up to a number of events: requests, answers that come late or
 * never, calls that Redis carries out after the host has given up, permits that
 * go back, hosts that die, a primary that fails, windows that end. The hosts
 * run lease.c, Redis runs its script.
 *
 *   lease_model            all holds, in every state of every scenario
 *   lease_model --deep     the same with more events
 *   lease_model --rules    without one rule, each in turn, something breaks */
#define FTA_LEASE_RULE(name) (left_out != RULE_##name)

enum rule {
    RULE_NONE,
    RULE_LESS_DRIFT,
    RULE_ROUND_DOWN,
    RULE_FROM_ASKED,
    RULE_MELT,
    RULE_DROP_MELTED,
    RULE_GRANT_NAMES_WINDOW,
    RULE_DROP_OLD_WINDOW,
    RULE_MELTING_STAYS,
    RULE_SAME_EPOCH,
    RULE_TAKEN_OUT_FIRST,
    /* Of the caller, which is the model here. */
    RULE_SENT_ONCE,
};

static enum rule left_out;

#include "limit/lease/lease.c"

#include "limit/strategies/gcra.c"

#undef NS_PER_US

#include "lua_redis.h"

enum { HOSTS = 3, MESSAGES = 2, WINDOWS = 4 };

#define PERIOD_US INT64_C(1000000)
#define START_US INT64_C(1790000000000000)

/* What is checked. */
enum claim {
    CONSERVATION = 1,
    TIMELINESS = 2,
    NEWEST_WINDOW = 4,
    OWN_PRIMARY = 8,
    SHORT_WAIT = 16,
    PACE = 32, /* GCRA */
};

static const char *const claim_names[] = {
    [CONSERVATION] = "conservation",   [TIMELINESS] = "timeliness",
    [NEWEST_WINDOW] = "newest window", [OWN_PRIMARY] = "own primary",
    [SHORT_WAIT] = "short wait",       [PACE] = "pace",
};

/* -- The state ------------------------------------------------------------- */

typedef struct host {
    fta_lease lease;
    uint32_t epoch;
    uint8_t primary; /* That granted the lease. */
    bool dead;
    int64_t seen; /* The newest window that it was answered from. */
} host;

typedef struct message {
    enum { NONE, ASKS, ASKED, GIVES } kind; /* ASKED: Redis has answered. */
    uint8_t host;
    uint8_t primary; /* That has answered, or that the permits are from. */
    bool given_up;
    bool allowed;
    bool sent_twice;
    uint32_t epoch;
    uint32_t cost;
    int64_t asked_us;
    uint64_t nonce; /* GIVES: the window of the permits. */
    int64_t window;
    uint32_t permits;
    fta_grant grant;
} message;

typedef struct spending {
    int64_t window;
    uint32_t count;
} spending;

typedef struct state {
    int64_t now_us;    /* Of Redis. */
    int64_t true_us;   /* That has passed in truth. */
    int64_t bucket;    /* GCRA: what was spent in truth, in nanoseconds. */
    int64_t filled_us; /* When that was. */
    host hosts[HOSTS];
    message messages[MESSAGES];
    spending spent[WINDOWS];
    uint8_t primary;
    /* What may still happen. */
    uint8_t requests, deaths, losses, returns, times, failures, steps;
    uint8_t nonces;
    char value[VALUE_MAX]; /* Of the key. */
    int64_t value_until_us;
    char replica[VALUE_MAX]; /* What a new primary would have. */
    int64_t replica_until_us;
} state;

typedef struct scenario {
    const char *name;
    const char *strategy;
    unsigned claims;
    int64_t tick_us;
    uint8_t limit, cost;
    uint8_t requests, deaths, losses, returns, times, failures, steps;
    int64_t step_us;  /* By how much the clock of Redis steps. */
    int slow;         /* Host 0 loses a part of the time: 1 / slow. */
    bool share_a_bit; /* All hosts, of those that the store counts hosts by. */
} scenario;

static const scenario *of;
static lua_redis redis;
static unsigned broken; /* Claims, in the states seen so far. */
static size_t states_seen;

static void
fails(enum claim claim)
{
    broken |= (unsigned)claim & of->claims;
}

static fta_hit
hit_of(void)
{
    return (fta_hit){
        .limit = of->limit, .cost = of->cost, .period_us = PERIOD_US};
}

static fta_lease_melt
melt(void)
{
    fta_hit hit = hit_of();
    return strcmp(of->strategy, "gcra") == 0 ? interval_of(&hit) : 0;
}

/* A host's clock has an own start, and the one of host 0 is slow. */
static int64_t
clock_of(const state *s, int h)
{
    int64_t passed = s->true_us;
    if (h == 0 && of->slow != 0) {
        passed -= passed / of->slow;
    }
    return 1000000500 + 77777777 * h + passed;
}

/* -- What is spent --------------------------------------------------------- */

static void
spend(state *s, int64_t window, uint32_t cost)
{
    if (melt() != 0) {
        int64_t drained = (s->true_us - s->filled_us) * 1000;
        s->bucket = s->bucket > drained ? s->bucket - drained : 0;
        s->bucket += cost * melt();
        s->filled_us = s->true_us;
        if (s->bucket > of->limit * melt()) {
            fails(PACE);
        }
        return;
    }
    if (of->steps > 0) {
        window = 1; /* No time passes. */
    }
    spending *place = &s->spent[0];
    for (int i = 0; i < WINDOWS; i++) {
        if (s->spent[i].window == window || s->spent[i].window == 0) {
            place = &s->spent[i];
            break;
        }
    }
    place->window = window;
    place->count += cost;
    if (place->count > of->limit) {
        fails(CONSERVATION);
    }
    /* Sliding windows: the one before counts as far as it still covers. */
    uint64_t sum = place->count;
    for (int i = 0;
         strcmp(of->strategy, "sliding-window-counter") == 0 && i < WINDOWS;
         i++) {
        if (s->spent[i].window == window - PERIOD_US && s->now_us < window) {
            int64_t part =
                (int64_t)s->spent[i].count * ((window - s->now_us) / 1000);
            sum += (uint64_t)(part / (PERIOD_US / 1000));
        }
    }
    if (sum > of->limit) {
        fails(CONSERVATION);
    }
}

/* -- Redis ----------------------------------------------------------------- */

static void
load_value(const state *s)
{
    lua_State *lua = redis.lua;
    lua_newtable(lua);
    if (s->value[0] != '\0') {
        lua_newtable(lua);
        lua_pushstring(lua, s->value);
        lua_rawseti(lua, -2, 1);
        lua_pushnumber(lua, (lua_Number)s->value_until_us);
        lua_rawseti(lua, -2, 2);
        lua_setfield(lua, -2, "k");
    }
    lua_setglobal(lua, "db");
    lua_redis_set_time(&redis, s->now_us);
}

static void
save_value(state *s)
{
    lua_State *lua = redis.lua;
    memset(s->value, 0, sizeof s->value);
    s->value_until_us = 0;
    lua_getglobal(lua, "db");
    lua_getfield(lua, -1, "k");
    if (lua_istable(lua, -1)) {
        lua_rawgeti(lua, -1, 1);
        (void)snprintf(s->value, sizeof s->value, "%s", lua_tostring(lua, -1));
        lua_rawgeti(lua, -2, 2);
        s->value_until_us = (int64_t)lua_tonumber(lua, -1);
        lua_pop(lua, 2);
    }
    lua_pop(lua, 2);
}

/* By which Redis knows a host: some have the same of its 48 bits. */
static uint64_t
number_of(int h)
{
    return 1 + (uint64_t)h * (of->share_a_bit ? 48 : 1);
}

static bool
others_hold(const state *s, int h)
{
    for (int i = 0; i < HOSTS; i++) {
        const fta_lease *lease = &s->hosts[i].lease;
        if (i != h && !s->hosts[i].dead && lease->left > 0 &&
            s->hosts[i].primary == s->primary && lease->window > s->now_us) {
            return true;
        }
    }
    return false;
}

static void
carry_out(state *s, message *m)
{
    const lua_redis_ask ask = {of->strategy,
                               "k",
                               of->limit,
                               m->cost,
                               PERIOD_US,
                               1, /* Whatever the part, all holds. */
                               number_of(m->host),
                               s->nonces + 1u,
                               100,
                               0};
    load_value(s);
    if (m->kind == GIVES) {
        if (melt() != 0) {
            fails(PACE); /* Others' permits drain behind these. */
        }
        host *who = &s->hosts[m->host];
        const lua_redis_offer offer = {"k", m->permits, m->nonce, m->window};
        int64_t answers[LUA_REDIS_KEYS_MAX];
        lua_redis_take_back(&redis, &ask, &offer, 1, answers);
        bool taken = answers[0] == 1;
        if (taken && m->primary != s->primary) {
            fails(OWN_PRIMARY);
        }
        if (!taken && !m->given_up && !who->dead &&
            who->lease.nonce == m->nonce && who->lease.window == m->window &&
            left_out != RULE_TAKEN_OUT_FIRST) {
            who->lease.left += m->permits;
        }
        save_value(s);
        if (left_out == RULE_SENT_ONCE && taken && !m->sent_twice) {
            m->sent_twice = true; /* Its answer was lost: once more. */
            return;
        }
        memset(m, 0, sizeof *m);
        return;
    }
    int64_t retry_us;
    m->allowed = lua_redis_lease(&redis, &ask, &retry_us, &m->grant);
    m->primary = s->primary;
    if (m->grant.nonce == ask.nonce) {
        s->nonces++;
    }
    save_value(s);
    if (m->allowed) {
        spend(s, m->grant.window, m->cost);
    } else if (melt() == 0 && others_hold(s, m->host) && retry_us > 250000) {
        fails(SHORT_WAIT);
    }
    if (m->given_up) {
        memset(m, 0, sizeof *m);
    } else {
        m->kind = ASKED;
    }
}

/* -- Hosts ----------------------------------------------------------------- */

static message *
new_message(state *s)
{
    for (int i = 0; i < MESSAGES; i++) {
        if (s->messages[i].kind == NONE) {
            return &s->messages[i];
        }
    }
    return NULL;
}

/* A request: from the lease, or a question to Redis. */
static bool
request(state *s, int h)
{
    host *who = &s->hosts[h];
    int64_t now_us = clock_of(s, h);
    message *m = new_message(s);
    if (who->dead || s->requests == 0) {
        return false;
    }
    int64_t window = who->lease.window;
    if (fta_lease_take(&who->lease, of->cost, melt(), now_us)) {
        s->requests--;
        if (melt() == 0 && s->now_us >= window) {
            fails(TIMELINESS);
        }
        if (melt() == 0 && window < who->seen) {
            fails(NEWEST_WINDOW);
        }
        spend(s, window, of->cost);
        return true;
    }
    if (m == NULL) {
        return false;
    }
    s->requests--;
    *m = (message){.kind = ASKS,
                   .host = (uint8_t)h,
                   .epoch = who->epoch,
                   .cost = of->cost,
                   .asked_us = now_us};
    return true;
}

static bool
receive(state *s, message *m)
{
    host *who = &s->hosts[m->host];
    if (m->kind != ASKED) {
        return false;
    }
    if (!who->dead) {
        int64_t window = who->lease.window;
        uint64_t nonce = who->lease.nonce;
        fta_lease_receive(&who->lease, &m->grant, m->asked_us, m->epoch, melt(),
                          clock_of(s, m->host));
        if (who->lease.window != window || who->lease.nonce != nonce) {
            who->primary = m->primary;
        }
        if (m->grant.window > who->seen) {
            who->seen = m->grant.window;
        }
    }
    memset(m, 0, sizeof *m);
    return true;
}

static bool
give_back(state *s, int h)
{
    host *who = &s->hosts[h];
    message *m = new_message(s);
    if (who->dead || s->returns == 0 || m == NULL) {
        return false;
    }
    uint32_t permits =
        fta_lease_take_out(&who->lease, who->epoch, melt(), clock_of(s, h));
    if (permits == 0) {
        return false;
    }
    s->returns--;
    *m = (message){.kind = GIVES,
                   .host = (uint8_t)h,
                   .primary = who->primary,
                   .cost = of->cost,
                   .nonce = who->lease.nonce,
                   .window = who->lease.window,
                   .permits = permits};
    return true;
}

/* A call fails for the host: its connections belong to an epoch that is over.
 * Redis may carry the call out or not, now or later. */
static bool
give_up(state *s, message *m)
{
    if (s->losses == 0 || m->given_up || m->kind == NONE) {
        return false;
    }
    s->losses--;
    s->hosts[m->host].epoch++;
    if (m->kind == ASKED) {
        memset(m, 0, sizeof *m);
    } else {
        m->given_up = true;
    }
    return true;
}

/* The primary dies. Another one is a replica that may be behind; all hosts lose
 * their connections, and what is under way. */
static bool
fail_over(state *s)
{
    if (s->failures == 0) {
        return false;
    }
    s->failures--;
    s->primary++;
    memcpy(s->value, s->replica, sizeof s->value);
    s->value_until_us = s->replica_until_us;
    for (int i = 0; i < HOSTS; i++) {
        s->hosts[i].epoch++;
    }
    for (int i = 0; i < MESSAGES; i++) {
        if (s->messages[i].kind == ASKS || s->messages[i].kind == GIVES) {
            memset(&s->messages[i], 0, sizeof(message));
        }
    }
    return true;
}

static bool
pass_time(state *s, int64_t us)
{
    if (s->times == 0 || us <= 0) {
        return false;
    }
    s->times--;
    s->now_us += us;
    s->true_us += us;
    return true;
}

/* To the moment at which the newest window ends. */
static bool
pass_to_end(state *s)
{
    int64_t end = 0;
    for (int i = 0; i < HOSTS; i++) {
        end = s->hosts[i].lease.window > end ? s->hosts[i].lease.window : end;
    }
    for (int i = 0; i < MESSAGES; i++) {
        int64_t window = s->messages[i].grant.window;
        end = window > end ? window : end;
    }
    return melt() == 0 && pass_time(s, end - s->now_us);
}

/* -- All orders ------------------------------------------------------------ */

enum { ACTIONS = HOSTS * 3 + MESSAGES * 3 + 5 };

static bool
act(state *s, int action)
{
    if (action < HOSTS * 3) {
        int h = action / 3;
        switch (action % 3) {
        case 0:
            return request(s, h);
        case 1:
            return give_back(s, h);
        default:
            if (s->deaths == 0 || s->hosts[h].dead) {
                return false;
            }
            s->deaths--;
            s->hosts[h] = (host){.dead = true};
            return true;
        }
    }
    action -= HOSTS * 3;
    if (action < MESSAGES * 3) {
        message *m = &s->messages[action / 3];
        switch (action % 3) {
        case 0:
            if (m->kind != ASKS && m->kind != GIVES) {
                return false;
            }
            carry_out(s, m);
            return true;
        case 1:
            return receive(s, m);
        default:
            return give_up(s, m);
        }
    }
    switch (action - MESSAGES * 3) {
    case 0:
        return pass_time(s, of->tick_us);
    case 1:
        return pass_to_end(s);
    case 2:
        return fail_over(s);
    case 3: /* The replica is in step. */
        if (s->failures == 0 || strcmp(s->replica, s->value) == 0) {
            return false;
        }
        memcpy(s->replica, s->value, sizeof s->replica);
        s->replica_until_us = s->value_until_us;
        return true;
    default: /* The clock of Redis steps. */
        if (s->steps == 0) {
            return false;
        }
        s->steps--;
        s->now_us += of->step_us;
        return true;
    }
}

#define TABLE ((size_t)1 << 23)

static uint64_t *table;

static uint64_t
feed(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 31;
}

static uint64_t
feed_text(uint64_t hash, const char *text)
{
    while (*text != '\0') {
        hash = feed(hash, (uint8_t)*text++);
    }
    return feed(hash, 256);
}

static uint64_t
hash_of_host(uint64_t hash, const host *h)
{
    const uint64_t words[] = {
        h->lease.nonce,
        (uint64_t)h->lease.window,
        (uint64_t)h->lease.asked_us,
        (uint64_t)h->lease.end_us,
        h->lease.epoch,
        h->lease.left,
        h->epoch,
        h->primary,
        h->dead,
        (uint64_t)h->seen,
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        hash = feed(hash, words[i]);
    }
    return hash;
}

static uint64_t
hash_of_message(const message *m)
{
    const uint64_t words[] = {
        (uint64_t)m->kind,
        m->host,
        m->primary,
        m->given_up,
        m->allowed,
        m->sent_twice,
        m->epoch,
        m->cost,
        (uint64_t)m->asked_us,
        m->nonce,
        (uint64_t)m->window,
        m->permits,
        m->grant.permits,
        m->grant.nonce,
        (uint64_t)m->grant.window,
        (uint64_t)m->grant.lasts_us,
    };
    uint64_t hash = 7;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        hash = feed(hash, words[i]);
    }
    return hash;
}

/* The order of the messages does not matter. */
static uint64_t
hash_of_state(const state *s)
{
    const uint64_t words[] = {
        (uint64_t)s->now_us,
        (uint64_t)s->true_us,
        (uint64_t)s->bucket,
        (uint64_t)s->filled_us,
        s->primary,
        s->requests,
        s->deaths,
        s->losses,
        s->returns,
        s->times,
        s->failures,
        s->steps,
        s->nonces,
        (uint64_t)s->value_until_us,
        (uint64_t)s->replica_until_us,
    };
    uint64_t hash = feed_text(feed_text(5, s->value), s->replica);
    uint64_t of_messages = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        hash = feed(hash, words[i]);
    }
    for (int i = 0; i < HOSTS; i++) {
        hash = hash_of_host(hash, &s->hosts[i]);
    }
    for (int i = 0; i < WINDOWS; i++) {
        hash =
            feed(feed(hash, (uint64_t)s->spent[i].window), s->spent[i].count);
    }
    for (int i = 0; i < MESSAGES; i++) {
        of_messages += hash_of_message(&s->messages[i]);
    }
    return feed(hash, of_messages);
}

/* Whether the state is new. */
static bool
is_new(const state *s)
{
    uint64_t hash = hash_of_state(s) | 1;
    for (size_t at = (hash >> 1) % TABLE;; at = (at + 1) % TABLE) {
        if (table[at] == hash) {
            return false;
        }
        if (table[at] == 0) {
            table[at] = hash;
            states_seen++;
            if (states_seen > TABLE / 2) {
                fprintf(stderr, "too many states\n");
                abort();
            }
            return true;
        }
    }
}

static bool stops_at_first;

static void
explore(const state *s)
{
    for (int action = 0; action < ACTIONS; action++) {
        if (broken != 0 && stops_at_first) {
            return;
        }
        state next;
        memcpy(&next, s, sizeof next);
        if (act(&next, action) && is_new(&next)) {
            explore(&next);
        }
    }
}

static unsigned
run(const scenario *what, const char *script)
{
    static state first;
    of = what;
    broken = 0;
    states_seen = 0;
    memset(table, 0, TABLE * sizeof *table);
    memset(&first, 0, sizeof first);
    first.now_us = START_US;
    first.requests = what->requests;
    first.deaths = what->deaths;
    first.losses = what->losses;
    first.returns = what->returns;
    first.times = what->times;
    first.failures = what->failures;
    first.steps = what->steps;
    for (int i = 0; i < HOSTS; i++) {
        first.hosts[i].epoch = 1;
    }
    lua_redis_open(&redis, script);
    explore(&first);
    lua_redis_close(&redis);
    return broken;
}

#include "model_scenarios.h"
