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

typedef struct lua_redis {
    lua_State *lua;
    int script; /* A reference. */
} lua_redis;

static void
lua_redis_fail(lua_redis *self)
{
    fprintf(stderr, "%s\n", lua_tostring(self->lua, -1));
    abort();
}

/* The script with `from`, which it has once, replaced; NULL: as it is. */
static char *
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
    self->lua = luaL_newstate();
    luaL_openlibs(self->lua);
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
}

static void
lua_redis_set_time(lua_redis *self, int64_t now_us)
{
    lua_pushnumber(self->lua, (lua_Number)now_us);
    lua_setglobal(self->lua, "now_us");
}

/* Calls the script with one key. Returns how many numbers it answers. */
static size_t
lua_redis_call(lua_redis *self, const char *key, const char *const *words,
               size_t count, int64_t answer[16])
{
    lua_State *lua = self->lua;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, self->script);
    lua_newtable(lua);
    lua_pushstring(lua, key);
    lua_rawseti(lua, -2, 1);
    lua_setglobal(lua, "KEYS");
    lua_newtable(lua);
    for (size_t i = 0; i < count; i++) {
        lua_pushstring(lua, words[i]);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    lua_setglobal(lua, "ARGV");
    if (lua_pcall(lua, 0, 1, 0) != 0) {
        lua_redis_fail(self);
    }
    size_t n = lua_objlen(lua, -1);
    for (size_t i = 0; i < n && i < 16; i++) {
        lua_rawgeti(lua, -1, (int)i + 1);
        answer[i] = (int64_t)lua_tonumber(lua, -1);
        lua_pop(lua, 1);
    }
    lua_pop(lua, 1);
    return n;
}

/* One hit that asks for a lease, as fta_redis_counter_lease sends it. */
typedef struct lua_redis_ask {
    const char *strategy;
    const char *key;
    uint32_t limit;
    uint32_t cost;
    int64_t period_us;
    double part;
    unsigned host;
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
    int64_t answer[16];
    (void)snprintf(numbers[0], 24, "%u", ask->limit);
    (void)snprintf(numbers[1], 24, "%u", ask->cost);
    (void)snprintf(numbers[2], 24, "%lld", (long long)ask->period_us);
    (void)snprintf(numbers[3], 24, "%.9f", ask->part);
    (void)snprintf(numbers[4], 24, "%u", ask->host);
    (void)snprintf(numbers[5], 24, "%llu", (unsigned long long)ask->nonce);
    (void)snprintf(numbers[6], 24, "%u", ask->most);
    (void)snprintf(numbers[7], 24, "%u", ask->spent);
    for (size_t i = 0; i < 8; i++) {
        words[2 + i] = numbers[i];
    }
    if (lua_redis_call(self, ask->key, words, 10, answer) != 8) {
        abort();
    }
    *retry_us = answer[3];
    *grant = (fta_grant){(uint32_t)answer[4], (uint64_t)answer[5], answer[6],
                         answer[7]};
    return answer[0] == 1;
}

/* Permits that go back, as fta_redis_counter_take_back sends them. */
static int
lua_redis_take_back(lua_redis *self, const lua_redis_ask *of, uint32_t permits,
                    uint64_t nonce, int64_t window)
{
    char numbers[6][24];
    const char *words[8] = {of->strategy, "b"};
    int64_t answer[16];
    (void)snprintf(numbers[0], 24, "%u", of->limit);
    (void)snprintf(numbers[1], 24, "%u", permits);
    (void)snprintf(numbers[2], 24, "%lld", (long long)of->period_us);
    (void)snprintf(numbers[3], 24, "%u", of->host);
    (void)snprintf(numbers[4], 24, "%llu", (unsigned long long)nonce);
    (void)snprintf(numbers[5], 24, "%lld", (long long)window);
    for (size_t i = 0; i < 6; i++) {
        words[2 + i] = numbers[i];
    }
    if (lua_redis_call(self, of->key, words, 8, answer) != 1) {
        abort();
    }
    return (int)answer[0];
}

#endif
