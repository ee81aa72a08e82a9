#include "limit/redis/counter.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "redis/nodes.h"

/* KEYS: one a hit. ARGV: strategy, action, then limit, cost and period (in
 * microseconds) of each hit. The answer: for each hit whether it fits, what
 * remains, reset and retry after so many microseconds.
 *
 * Lua's numbers are doubles, whole up to 2^53: the time of day in
 * microseconds has 51 bits, a period 48, a limit 23. Only the products of the
 * sliding window are larger, and divide() works them out in two halves.
 *
 * Everything is read and worked out first and written last. SET gives the
 * time to live with the value. An error of Redis, say -OOM or -READONLY, is
 * handed on as it is. A clock that was set back may have left a state from
 * the future: one that no sequence of hits could have left counts as none. */
static const char script[] =
    "local strategy, action = ARGV[1], ARGV[2]\n"
    "local time = redis.call('TIME')\n"
    "local now = time[1] * 1000000 + time[2]\n"
    "local floor, ceil = math.floor, math.ceil\n"
    "\n"
    "local function divide(a, b, c)\n"
    "  local high = floor(a / 4096)\n"
    "  local product = high * b\n"
    "  local quotient = floor(product / c)\n"
    "  product = (product - quotient * c) * 4096 + (a - high * 4096) * b\n"
    "  local rest = floor(product / c)\n"
    "  return quotient * 4096 + rest, product - rest * c\n"
    "end\n"
    "\n"
    "local read, look, take, write\n"
    "\n"
    "if strategy == 'f' then\n"
    "  function read(text, hit)\n"
    "    local count, last = string.match(text, '^(%d+) (%d+)$')\n"
    "    count, last = tonumber(count), tonumber(last)\n"
    "    if not last or last <= now or last - now > hit.period then\n"
    "      return {count = 0, last = now}\n"
    "    end\n"
    "    return {count = count, last = last}\n"
    "  end\n"
    "  function look(state)\n"
    "    local left = state.last - now\n"
    "    return state.count, left, left\n"
    "  end\n"
    "  function take(state, hit)\n"
    "    if state.count == 0 then state.last = now + hit.period end\n"
    "    state.count = state.count + hit.cost\n"
    "  end\n"
    "  function write(state)\n"
    "    return string.format('%.0f %.0f', state.count, state.last),\n"
    "        state.last - now\n"
    "  end\n"
    "elseif strategy == 's' then\n"
    "  function read(text, hit)\n"
    "    local start, current, previous =\n"
    "        string.match(text, '^(%d+) (%d+) (%d+)$')\n"
    "    start = tonumber(start)\n"
    "    local state = {now = now, period = hit.period / 1000,\n"
    "        start = floor(now / hit.period) * (hit.period / 1000),\n"
    "        current = 0, previous = 0}\n"
    "    local ahead = start and start - state.start\n"
    "    if ahead and ahead > 0 and ahead <= state.period then\n"
    "      state.start, state.now, ahead = start, start * 1000, 0\n"
    "    end\n"
    "    if ahead == 0 then\n"
    "      state.current = tonumber(current)\n"
    "      state.previous = tonumber(previous)\n"
    "    elseif ahead == -state.period then\n"
    "      state.previous = tonumber(current)\n"
    "    end\n"
    "    return state\n"
    "  end\n"
    "  local function within(count, room, period)\n"
    "    if count <= room then return period end\n"
    "    return (divide(room, period, count))\n"
    "  end\n"
    "  function look(state, hit)\n"
    "    local period = state.period\n"
    "    local now_ms = floor(state.now / 1000)\n"
    "    local last = state.start + period\n"
    "    local carried, rest =\n"
    "        divide(state.previous, last - now_ms, period)\n"
    "    if rest > 0 then carried = carried + 1 end\n"
    "    local reset = now_ms\n"
    "    if state.current > 0 then reset = last + period\n"
    "    elseif state.previous > 0 then reset = last end\n"
    "    local room = hit.limit - hit.cost\n"
    "    local retry\n"
    "    if state.current <= room then\n"
    "      retry = last - within(state.previous, room - state.current,\n"
    "          period)\n"
    "    else\n"
    "      retry = last + period - within(state.current, room, period)\n"
    "    end\n"
    "    return carried + state.current, (reset - now_ms) * 1000,\n"
    "        retry * 1000 - state.now\n"
    "  end\n"
    "  function take(state, hit) state.current = state.current + hit.cost "
    "end\n"
    "  function write(state)\n"
    "    return string.format('%.0f %.0f %.0f', state.start, state.current,\n"
    "        state.previous),\n"
    "        (state.start + 2 * state.period) * 1000 - now\n"
    "  end\n"
    "else\n"
    "  function read(text, hit)\n"
    "    local interval = ceil(hit.period / hit.limit)\n"
    "    local tat = tonumber(string.match(text, '^%d+$'))\n"
    "    if not tat or tat < now or tat - now > interval * hit.limit then\n"
    "      tat = now\n"
    "    end\n"
    "    return {tat = tat, interval = interval}\n"
    "  end\n"
    "  function look(state, hit)\n"
    "    local ahead = state.tat - now\n"
    "    return ceil(ahead / state.interval), ahead,\n"
    "        ahead - (hit.limit - hit.cost) * state.interval\n"
    "  end\n"
    "  function take(state, hit)\n"
    "    state.tat = state.tat + state.interval * hit.cost\n"
    "  end\n"
    "  function write(state)\n"
    "    return string.format('%.0f', state.tat), state.tat - now\n"
    "  end\n"
    "end\n"
    "\n"
    "local hits, states, answer = {}, {}, {}\n"
    "local fits = true\n"
    "for i, key in ipairs(KEYS) do\n"
    "  local hit = {limit = tonumber(ARGV[3 * i]),\n"
    "      cost = tonumber(ARGV[3 * i + 1]),\n"
    "      period = tonumber(ARGV[3 * i + 2])}\n"
    "  hits[i] = hit\n"
    "  if not states[key] then\n"
    "    local text = redis.pcall(action == 'r' and 'DEL' or 'GET', key)\n"
    "    if type(text) == 'table' and text.err then return text end\n"
    "    states[key] = read(type(text) == 'string' and text or '', hit)\n"
    "  end\n"
    "  local used, reset, retry = look(states[key], hit)\n"
    "  local remaining = math.max(hit.limit - used, 0)\n"
    "  local fit = hit.cost <= remaining\n"
    "  fits = fits and fit\n"
    "  answer[4 * i - 3] = fit and 1 or 0\n"
    "  answer[4 * i - 2] = remaining\n"
    "  answer[4 * i - 1] = reset\n"
    "  answer[4 * i] = fit and 0 or retry\n"
    "end\n"
    "if action ~= 'c' or not fits then return answer end\n"
    "\n"
    "for i, key in ipairs(KEYS) do\n"
    "  local hit, state = hits[i], states[key]\n"
    "  local used, reset, retry = look(state, hit)\n"
    "  local remaining = math.max(hit.limit - used, 0)\n"
    "  if hit.cost > remaining then\n" /* two hits share a counter */
    "    answer[4 * i - 3], answer[4 * i - 2] = 0, remaining\n"
    "    answer[4 * i - 1], answer[4 * i] = reset, retry\n"
    "    return answer\n"
    "  end\n"
    "  take(state, hit)\n"
    "  used, reset = look(state, hit)\n"
    "  answer[4 * i - 2], answer[4 * i - 1] = hit.limit - used, reset\n"
    "end\n"
    "for _, key in ipairs(KEYS) do\n"
    "  local text, life = write(states[key])\n"
    "  local done = redis.pcall('SET', key, text, 'PX', ceil(life / 1000))\n"
    "  if done.err then return done end\n"
    "end\n"
    "return answer\n";

enum {
    ANSWERS = 4,         /* numbers a hit */
    FIXED_ARGUMENTS = 5, /* command, script, number of keys, ARGV 1, 2 */
    HIT_ARGUMENTS = 4,   /* key, limit, cost, period */
    HASH_TEXT = 40,
    ARGUMENTS_MAX = FIXED_ARGUMENTS + HIT_ARGUMENTS * FTA_HITS_MAX,
};

struct fta_redis_counter {
    fta_redis_client *link; /* Owned */
    char hash[HASH_TEXT + 1];
    unsigned slot;
    size_t tag_length;
    char tag[]; /* {fta:prefix} */
};

const char *
fta_redis_counter_script(void)
{
    return script;
}

static bool
hash_script(char out[HASH_TEXT + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest(script, sizeof(script) - 1, digest, &length, EVP_sha1(),
                   NULL) != 1 ||
        length * 2 != HASH_TEXT) {
        return false;
    }
    for (unsigned i = 0; i < length; i++) {
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", digest[i]);
    }
    return true;
}

fta_status
fta_redis_counter_new(fta_redis_client *link, const char *prefix,
                      size_t prefix_length, fta_redis_counter **out)
{
    static const char before[] = "{fta:";
    *out = NULL;
    if (prefix_length > FTA_PREFIX_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    size_t before_length = sizeof(before) - 1;
    size_t tag_length = before_length + prefix_length + 1;
    fta_redis_counter *counter = fta_calloc(1, sizeof(*counter) + tag_length);
    if (counter == NULL) {
        return FTA_NO_MEMORY;
    }
    if (!hash_script(counter->hash)) {
        fta_free(counter);
        return FTA_CRYPTO;
    }
    memcpy(counter->tag, before, before_length);
    if (prefix_length > 0) {
        memcpy(counter->tag + before_length, prefix, prefix_length);
    }
    counter->tag[tag_length - 1] = '}';
    counter->tag_length = tag_length;
    /* The tag ends at the first brace, be it one of the prefix. */
    const char *end = memchr(counter->tag, '}', tag_length);
    counter->slot =
        fta_redis_slot_of(counter->tag + 1, (size_t)(end - counter->tag) - 1);
    counter->link = link;
    *out = counter;
    return FTA_OK;
}

void
fta_redis_counter_free(fta_redis_counter *counter)
{
    if (counter != NULL) {
        fta_redis_client_free(counter->link);
        fta_free(counter);
    }
}

void
fta_redis_counter_disconnect(fta_redis_counter *counter)
{
    fta_redis_client_disconnect(counter->link);
}

const fta_redis_url *
fta_redis_counter_url(const fta_redis_counter *counter)
{
    return fta_redis_client_url(counter->link);
}

/* The words of a command, and the text of those that had to be written. */
typedef struct arguments {
    int count;
    const char *words[ARGUMENTS_MAX];
    size_t lengths[ARGUMENTS_MAX];
    char numbers[1 + 3 * FTA_HITS_MAX][24];
    size_t numbers_used;
} arguments;

static void
add_text(arguments *a, const char *text, size_t length)
{
    a->words[a->count] = text;
    a->lengths[a->count++] = length;
}

static void
add_number(arguments *a, int64_t value)
{
    char *text = a->numbers[a->numbers_used++];
    int length = snprintf(text, sizeof(*a->numbers), "%lld", (long long)value);
    add_text(a, text, (size_t)length);
}

static const char *const strategy_words[] = {
    [FTA_FIXED_WINDOW] = "f",
    [FTA_SLIDING_WINDOW_COUNTER] = "s",
    [FTA_GCRA] = "g",
};
static const char *const action_words[] = {
    [FTA_COUNT] = "c", [FTA_PEEK] = "p", [FTA_RESET] = "r"};

/* keys: room for the tag and the key of every hit. */
static void
add_hits(arguments *a, const fta_redis_counter *counter, fta_strategy strategy,
         fta_action action, const fta_hit *hits, size_t n, char *keys)
{
    add_number(a, (int64_t)n);
    for (size_t i = 0; i < n; i++) {
        size_t length = counter->tag_length + hits[i].key_length;
        memcpy(keys, counter->tag, counter->tag_length);
        memcpy(keys + counter->tag_length, hits[i].key, hits[i].key_length);
        add_text(a, keys, length);
        keys += length;
    }
    add_text(a, strategy_words[strategy], 1);
    add_text(a, action_words[action], 1);
    for (size_t i = 0; i < n; i++) {
        add_number(a, hits[i].limit);
        add_number(a, hits[i].cost);
        add_number(a, hits[i].period_us);
    }
}

/* One hit's four numbers, believed only as far as they can be true. */
static bool
read_verdict(fta_redis_reply *const *numbers, const fta_hit *hit,
             fta_verdict *verdict)
{
    for (size_t i = 0; i < ANSWERS; i++) {
        if (numbers[i]->type != FTA_REDIS_INTEGER) {
            return false;
        }
    }
    int64_t fits = numbers[0]->integer, remaining = numbers[1]->integer;
    int64_t reset = numbers[2]->integer, retry = numbers[3]->integer;
    int64_t longest = 2 * hit->period_us + hit->limit;
    if (fits < 0 || fits > 1 || remaining < 0 || remaining > hit->limit ||
        reset < 0 || reset > longest || retry < 0 || retry > longest) {
        return false;
    }
    verdict->allowed = fits == 1;
    verdict->limit = hit->limit;
    verdict->remaining = (uint32_t)remaining;
    verdict->reset_after_us = reset;
    verdict->retry_after_us = retry;
    return true;
}

static fta_status
read_answer(const fta_redis_reply *reply, const fta_hit *hits, size_t n,
            fta_verdict *verdict)
{
    if (reply->type != FTA_REDIS_ARRAY || reply->length != ANSWERS * n) {
        return FTA_REDIS_MALFORMED;
    }
    for (size_t i = 0; i < n; i++) {
        fta_verdict this = {.index = i};
        if (!read_verdict(reply->elements + ANSWERS * i, &hits[i], &this)) {
            return FTA_REDIS_MALFORMED;
        }
        if (i == 0 || fta_verdict_closer(&this, verdict)) {
            *verdict = this;
        }
    }
    return FTA_OK;
}

fta_status
fta_redis_counter_hit(fta_redis_counter *counter, fta_strategy strategy,
                      fta_action action, const fta_hit *hits, size_t n,
                      int64_t deadline, fta_verdict *verdict,
                      fta_redis_problem *problem)
{
    problem->text[0] = '\0';
    if (n == 0 || n > FTA_HITS_MAX) {
        return FTA_BAD_ARGUMENT;
    }
    size_t size = n * counter->tag_length;
    for (size_t i = 0; i < n; i++) {
        size += hits[i].key_length;
    }
    char *keys = fta_malloc(size);
    if (keys == NULL) {
        return FTA_NO_MEMORY;
    }
    arguments a = {0};
    add_text(&a, "EVALSHA", 7);
    add_text(&a, counter->hash, HASH_TEXT);
    add_hits(&a, counter, strategy, action, hits, n, keys);
    fta_redis_reply *reply = NULL;
    fta_status status = fta_redis_client_call(
        counter->link, &(fta_redis_command){a.count, a.words, a.lengths},
        counter->slot, deadline, &reply, problem);
    if (status == FTA_REDIS_NO_SCRIPT) {
        /* A Redis that was restarted, flushed or just became the primary;
         * EVAL also makes it known again. */
        a.words[0] = "EVAL";
        a.lengths[0] = 4;
        a.words[1] = script;
        a.lengths[1] = sizeof(script) - 1;
        status = fta_redis_client_call(
            counter->link, &(fta_redis_command){a.count, a.words, a.lengths},
            counter->slot, deadline, &reply, problem);
    }
    if (status == FTA_OK) {
        status = read_answer(reply, hits, n, verdict);
    }
    fta_redis_reply_free(reply);
    fta_free(keys);
    return status;
}

static fta_status
hit_probe(fta_redis_counter *counter, fta_action action, int64_t deadline,
          fta_redis_problem *problem)
{
    static const uint8_t key[] = "probe";
    const fta_hit hit = {.key = key,
                         .key_length = sizeof(key) - 1,
                         .limit = FTA_RATE_LIMIT_MAX,
                         .cost = 1,
                         .period_us = 1000000};
    fta_verdict verdict;
    return fta_redis_counter_hit(counter, FTA_FIXED_WINDOW, action, &hit, 1,
                                 deadline, &verdict, problem);
}

fta_status
fta_redis_counter_probe(fta_redis_counter *counter, int64_t deadline,
                        fta_redis_problem *problem)
{
    return hit_probe(counter, FTA_COUNT, deadline, problem);
}

fta_status
fta_redis_counter_probe_reset(fta_redis_counter *counter, int64_t deadline,
                              fta_redis_problem *problem)
{
    return hit_probe(counter, FTA_RESET, deadline, problem);
}

fta_status
fta_redis_counter_call(fta_redis_counter *counter, int argc,
                       const char *const *argv, const size_t *lengths,
                       int64_t deadline, fta_redis_reply **out,
                       fta_redis_problem *problem)
{
    return fta_redis_client_call(counter->link,
                                 &(fta_redis_command){argc, argv, lengths},
                                 counter->slot, deadline, out, problem);
}
