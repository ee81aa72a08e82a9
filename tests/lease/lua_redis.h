/* The script that counts in Redis, run by a Lua of this process: the same text
 * that EVALSHA runs, with a clock that the test sets and keys that it reads.
 * tests/redis holds the script against a real Redis. */
#ifndef FTA_TESTS_LUA_REDIS_H
#define FTA_TESTS_LUA_REDIS_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limit/lease/lease.h"
#include "limit/redis/script.h"
#include "limit/strategy.h"

static const char redis_in_lua[] =
    "db, now_us, redis = {}, 0, {}\n"
    "local function live(key)\n"
    "  local entry = db[key]\n"
    "  if entry and entry[2] > now_us then return entry end\n"
    "  db[key] = nil\n"
    "end\n"
    "function redis.call(command, key, value, _, ms)\n"
    "  if command == 'TIME' then\n"
    "    local us = now_us % 1000000\n"
    "    return {string.format('%.0f', (now_us - us) / 1000000),\n"
    "        string.format('%.0f', us)}\n"
    "  elseif command == 'GET' then\n"
    "    local entry = live(key)\n"
    "    return entry and entry[1] or false\n"
    "  elseif command == 'DEL' then\n"
    "    local known = live(key)\n"
    "    db[key] = nil\n"
    "    return known and 1 or 0\n"
    "  end\n"
    "  assert(command == 'SET' and ms > 0)\n"
    "  db[key] = {value, now_us + ms * 1000}\n"
    "  return {ok = 'OK'}\n"
    "end\n"
    "redis.pcall = redis.call\n"
    "function redis.error_reply(text) error(text) end\n";

#define VALUE_MAX 160
#define LUA_REDIS_KEYS_MAX 64
#define LUA_REDIS_WORDS_MAX (8 + 6 * LUA_REDIS_KEYS_MAX)

/* The memory of a Lua: small pieces by their size, which a run of the script
 * takes and frees by the hundred. */
#define POOL_STEP ((size_t)16)
#define POOL_SIZES ((size_t)64)
#define POOL_BLOCK ((size_t)1 << 20)

typedef struct lua_pool {
    void *free[POOL_SIZES + 1]; /* Of each size, a list. */
    char *next, *end;           /* Of the newest block. */
    void *blocks;               /* Owned, a list. */
} lua_pool;

typedef struct lua_redis {
    lua_State *lua;
    int script; /* A reference. */
    lua_pool pool;
} lua_redis;

static void *
pool_take(lua_pool *pool, size_t size)
{
    void **known = pool->free[size];
    if (known != NULL) {
        pool->free[size] = *known;
        return known;
    }
    if ((size_t)(pool->end - pool->next) < size * POOL_STEP) {
        void **block = malloc(POOL_BLOCK);
        if (block == NULL) {
            return NULL;
        }
        *block = pool->blocks;
        pool->blocks = block;
        pool->next = (char *)block + POOL_STEP;
        pool->end = (char *)block + POOL_BLOCK;
    }
    char *taken = pool->next;
    pool->next += size * POOL_STEP;
    return taken;
}

/* Of which size a piece is; 0: it is none of the pool's. */
static size_t
pool_size(size_t bytes)
{
    size_t size = (bytes + POOL_STEP - 1) / POOL_STEP;
    return size <= POOL_SIZES ? size : 0;
}

/* A lua_Alloc. */
static void *
pool_change(void *context, void *old, size_t old_bytes, size_t bytes)
{
    lua_pool *pool = context;
    size_t before = pool_size(old_bytes), size = pool_size(bytes);
    if (old_bytes > 0 && bytes > 0 && before == size) {
        return before > 0 ? old : realloc(old, bytes);
    }
    void *fresh = NULL;
    if (bytes > 0) {
        fresh = size > 0 ? pool_take(pool, size) : malloc(bytes);
        if (fresh == NULL) {
            return NULL;
        }
        if (old_bytes > 0) {
            memcpy(fresh, old, old_bytes < bytes ? old_bytes : bytes);
        }
    }
    if (before > 0) {
        *(void **)old = pool->free[before];
        pool->free[before] = old;
    } else if (old_bytes > 0) {
        free(old);
    }
    return fresh;
}

static void
pool_close(lua_pool *pool)
{
    while (pool->blocks != NULL) {
        void **block = pool->blocks;
        pool->blocks = *block;
        free(block);
    }
}

static void
lua_redis_fail(lua_redis *self)
{
    fprintf(stderr, "%s\n", lua_tostring(self->lua, -1));
    abort();
}

/* The script with `from`, which it has once, replaced; NULL: as it is. */
static inline char *
script_with(const char *script, const char *from, const char *to)
{
    size_t length = strlen(script) + (to != NULL ? strlen(to) : 0) + 1;
    char *text = malloc(length);
    if (text == NULL) {
        abort();
    }
    if (from == NULL) {
        return strcpy(text, script);
    }
    const char *at = strstr(script, from);
    if (at == NULL || strstr(at + 1, from) != NULL) {
        fprintf(stderr, "the script has not once: %s\n", from);
        abort();
    }
    (void)snprintf(text, length, "%.*s%s%s", (int)(at - script), script, to,
                   at + strlen(from));
    return text;
}

static void
lua_redis_open(lua_redis *self, const char *script)
{
    self->pool = (lua_pool){0};
    self->lua = lua_newstate(pool_change, &self->pool);
    if (self->lua == NULL) {
        abort();
    }
    luaL_openlibs(self->lua);
    (void)lua_gc(self->lua, LUA_GCSETPAUSE, 400);
    if (luaL_dostring(self->lua, redis_in_lua) != 0 ||
        luaL_loadbuffer(self->lua, script, strlen(script), "script") != 0) {
        lua_redis_fail(self);
    }
    self->script = luaL_ref(self->lua, LUA_REGISTRYINDEX);
}

static void
lua_redis_close(lua_redis *self)
{
    lua_close(self->lua);
    pool_close(&self->pool);
}

static void
lua_redis_set_time(lua_redis *self, int64_t now_us)
{
    lua_pushnumber(self->lua, (lua_Number)now_us);
    lua_setglobal(self->lua, "now_us");
}

static void
lua_redis_set_texts(lua_State *lua, const char *name, const char *const *texts,
                    size_t count)
{
    lua_createtable(lua, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushstring(lua, texts[i]);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    lua_setglobal(lua, name);
}

/* Calls the script, which answers so many numbers. */
static void
lua_redis_call(lua_redis *self, const char *const *keys, size_t key_count,
               const char *const *words, size_t word_count, int64_t *answer,
               size_t answer_count)
{
    lua_State *lua = self->lua;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, self->script);
    lua_redis_set_texts(lua, "KEYS", keys, key_count);
    lua_redis_set_texts(lua, "ARGV", words, word_count);
    if (lua_pcall(lua, 0, 1, 0) != 0) {
        lua_redis_fail(self);
    }
    if (lua_objlen(lua, -1) != answer_count) {
        abort();
    }
    for (size_t i = 0; i < answer_count; i++) {
        lua_rawgeti(lua, -1, (int)i + 1);
        answer[i] = (int64_t)lua_tonumber(lua, -1);
        lua_pop(lua, 1);
    }
    lua_pop(lua, 1);
}

/* One hit that asks for a lease, as fta_redis_counter_lease sends it. */
typedef struct lua_redis_ask {
    const char *strategy;
    const char *key;
    uint32_t limit;
    uint32_t cost;
    int64_t period_us;
    double part;
    uint64_t host;
    uint64_t nonce;
    uint32_t most;
    uint32_t spent;
} lua_redis_ask;

static bool
lua_redis_lease(lua_redis *self, const lua_redis_ask *ask, int64_t *retry_us,
                fta_grant *grant)
{
    char numbers[8][24];
    const char *words[10] = {ask->strategy, "l"};
    int64_t answer[8];
    (void)snprintf(numbers[0], 24, "%u", ask->limit);
    (void)snprintf(numbers[1], 24, "%u", ask->cost);
    (void)snprintf(numbers[2], 24, "%lld", (long long)ask->period_us);
    (void)snprintf(numbers[3], 24, "%.9f", ask->part);
    (void)snprintf(numbers[4], 24, "%llu", (unsigned long long)ask->host);
    (void)snprintf(numbers[5], 24, "%llu", (unsigned long long)ask->nonce);
    (void)snprintf(numbers[6], 24, "%u", ask->most);
    (void)snprintf(numbers[7], 24, "%u", ask->spent);
    for (size_t i = 0; i < 8; i++) {
        words[2 + i] = numbers[i];
    }
    lua_redis_call(self, &ask->key, 1, words, 10, answer, 8);
    *retry_us = answer[3];
    *grant = (fta_grant){(uint32_t)answer[4], (uint64_t)answer[5], answer[6],
                         answer[7]};
    return answer[0] == 1;
}

/* Permits of one lease that go back. */
typedef struct lua_redis_offer {
    const char *key;
    uint32_t permits;
    uint64_t nonce;
    int64_t window;
} lua_redis_offer;

/* The strategy, limit, period and host are those of `of`. Writes the answer of
 * the script for each offer. As fta_redis_counter_offer sends them. */
static void
lua_redis_take_back(lua_redis *self, const lua_redis_ask *of,
                    const lua_redis_offer *offers, size_t count,
                    int64_t answers[LUA_REDIS_KEYS_MAX])
{
    const char *keys[LUA_REDIS_KEYS_MAX];
    const char *words[LUA_REDIS_WORDS_MAX] = {of->strategy, "b"};
    char limit[24], period[24], host[24];
    char numbers[3][LUA_REDIS_KEYS_MAX][24];
    if (count == 0 || count > LUA_REDIS_KEYS_MAX) {
        abort();
    }
    (void)snprintf(limit, sizeof limit, "%u", of->limit);
    (void)snprintf(period, sizeof period, "%lld", (long long)of->period_us);
    (void)snprintf(host, sizeof host, "%llu", (unsigned long long)of->host);
    words[2 + 3 * count] = host;
    for (size_t i = 0; i < count; i++) {
        const lua_redis_offer *offer = &offers[i];
        (void)snprintf(numbers[0][i], 24, "%u", offer->permits);
        (void)snprintf(numbers[1][i], 24, "%llu",
                       (unsigned long long)offer->nonce);
        (void)snprintf(numbers[2][i], 24, "%lld", (long long)offer->window);
        keys[i] = offer->key;
        words[2 + 3 * i] = limit;
        words[3 + 3 * i] = numbers[0][i];
        words[4 + 3 * i] = period;
        words[3 + 3 * count + i] = numbers[1][i];
        words[3 + 4 * count + i] = numbers[2][i];
    }
    lua_redis_call(self, keys, count, words, 3 + 5 * count, answers, count);
}

#endif
