-- Keeps sessions, revocations and API keys in Redis: one call is one method.
--
-- KEYS[1]: what all names of keys begin with. It is their hash tag, so they are
-- in one slot, also those that this script makes. ARGV[1]: the method, then its
-- arguments. '' is what Python calls None. The clock is that of Redis.
--
-- Data: s:ID and k:ID are a session and an API key; u:TENANT:USER and kt:TENANT
-- are the ids of those by time, kts the tenants with API keys; r: is when a
-- user, a tenant or everything was revoked last, by the session that is
-- excepted; revocations is a stream, and ends has its entries by when they
-- matter no more.
--
-- A method that changes something begins with a write that needs memory: when
-- Redis has none left, nothing is done. A method that only reads begins with
-- PERSIST of a key that is never there: a write, so a replica refuses it.
local DAY = 86400000
local KEY_KEPT = 30 * DAY
local PAGE_BYTES = 250000
local PAGE_ENTRIES = 200

local tag = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stream, ends = tag .. 'revocations', tag .. 'ends'

local function whole(number) return string.format('%.0f', number) end

local function refuse_replica() redis.call('PERSIST', tag .. 'none') end

-- Lets a key live until then, at least: lives as long as what it is about.
local function keep(key, till)
  local left = redis.call('PTTL', key)
  if left == -1 or now + left < till then
    redis.call('PEXPIREAT', key, whole(till))
  end
end

local function session_key(id) return tag .. 's:' .. id end
local function user_key(tenant, user)
  return tag .. 'u:' .. tenant .. ':' .. user
end
local function began(id)
  return tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
end

-- When what is around a session was revoked last; 0: never.
local function revoked_at(tenant, user, id)
  local last = 0
  for _, name in ipairs({'', tenant, tenant .. ':' .. user}) do
    local found = redis.call('HGETALL', tag .. 'r:' .. name)
    for i = 1, #found, 2 do
      if found[i] == '' or found[i] ~= id then
        last = math.max(last, tonumber(found[i + 1]))
      end
    end
  end
  return last
end

local function end_session(id, reason)
  local key = session_key(id)
  local row = redis.call('HMGET', key, 'counter', 'ended_at', 'tenant_id',
      'user_id')
  if not row[1] or row[2] then return false end
  redis.call('HSET', key, 'ended_at', whole(now), 'end_reason', reason)
  redis.call('PEXPIREAT', key, whole(now + DAY))
  redis.call('ZREM', user_key(row[3], row[4]), id)
  return true
end

local function end_key(key)
  if redis.call('HSETNX', key, 'ended_at', whole(now)) == 1 then
    local left = redis.call('PTTL', key)
    if left == -1 or left > KEY_KEPT then
      redis.call('PEXPIRE', key, KEY_KEPT)
    end
  end
end

-- Ends the API keys of a tenant, or of one user of it, that were made by then.
-- They may outlive the revocation, so they are ended by themselves.
local function end_keys(tenant, user, at)
  local index = tag .. 'kt:' .. tenant
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', at)) do
    local of = redis.call('HGET', tag .. 'k:' .. id, 'user_id')
    if of and (user == '' or of == user) then end_key(tag .. 'k:' .. id) end
  end
end

-- Adds a revocation: kind, tenant, user, id, except, at, end. Returns the id of
-- the entry and when it was.
local function add(r, reason)
  local at = r[6] == '' and whole(now) or r[6]
  local entry = redis.call('XADD', stream, '*', 'kind', r[1], 'tenant_id', r[2],
      'user_id', r[3], 'id', r[4], 'except_session', r[5], 'at', at,
      'ends_at', r[7])
  redis.call('ZADD', ends, r[7], entry)
  local name
  if r[1] == 'everything' then name = ''
  elseif r[1] == 'tenant' then name = r[2]
  elseif r[1] == 'user' then name = r[2] .. ':' .. r[3]
  end
  if name then
    local key = tag .. 'r:' .. name
    local before = redis.call('HGET', key, r[5])
    if not before or tonumber(before) < tonumber(at) then
      redis.call('HSET', key, r[5], at)
    end
    keep(key, tonumber(r[7]))
  end
  if r[1] == 'session' then
    end_session(r[4], reason)
  elseif r[1] == 'token' and string.sub(r[4], 1, 4) == 'key:' then
    local key = tag .. 'k:' .. string.sub(r[4], 5)
    if redis.call('EXISTS', key) == 1 then end_key(key) end
  elseif r[1] == 'everything' then
    local tenants = redis.call('ZRANGEBYSCORE', tag .. 'kts', '-inf', '+inf')
    for _, tenant in ipairs(tenants) do end_keys(tenant, '', at) end
  elseif name then
    end_keys(r[2], r[3], at)
  end
  return entry, tonumber(at)
end

local function revocation_from(first)
  return {ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3],
      ARGV[first + 4], ARGV[first + 5], ARGV[first + 6]}
end

-- The rows of an index from a place on, the newest first, as many as fit into
-- one reply; and the next place, or -1. Ids whose row is gone are removed.
local function page(index, prefix, place, is_wanted)
  local ids = redis.call('ZREVRANGE', index, place, -1)
  local rows, bytes, next = {}, 0, -1
  for i, id in ipairs(ids) do
    local row = redis.call('HGETALL', prefix .. id)
    if #row == 0 then
      redis.call('ZREM', index, id)
    else
      local fields = {}
      for j = 1, #row, 2 do
        fields[row[j]] = row[j + 1]
        bytes = bytes + #row[j] + #row[j + 1]
      end
      if is_wanted(id, fields) then
        if bytes > PAGE_BYTES and #rows > 0 then
          next = place + i - 1
          break
        end
        rows[#rows + 1] = {id, row}
      end
    end
  end
  return next, rows
end

local function goes_on(id, row)
  return not row.ended_at and now < tonumber(row.expires_at) and
      now < tonumber(row.ends_at) and
      began(id) > revoked_at(row.tenant_id, row.user_id, id)
end

-- Sets the fields of a row from these arguments on, and removes those that are
-- None.
local function write(key, first)
  local set, gone = {}, {}
  for i = first, #ARGV, 2 do
    if ARGV[i + 1] == '' then
      gone[#gone + 1] = ARGV[i]
    else
      set[#set + 1] = ARGV[i]
      set[#set + 1] = string.sub(ARGV[i + 1], 2)
    end
  end
  redis.call('HSET', key, unpack(set))
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
end

local methods = {}

function methods.now()
  refuse_replica()
  return now
end

-- ARGV: id, tenant, user, most, then names and values.
function methods.create()
  local id, tenant, user = ARGV[2], ARGV[3], ARGV[4]
  local most = tonumber(ARGV[5])
  local key, index = session_key(id), user_key(tenant, user)
  write(key, 6)
  local row = redis.call('HMGET', key, 'expires_at')
  local till = tonumber(row[1]) + DAY
  redis.call('PEXPIREAT', key, whole(till))
  redis.call('ZADD', index, whole(began(id)), id)
  keep(index, till)
  local ended, left = {}, 0
  if not most then return ended end
  for _, each in ipairs(redis.call('ZREVRANGE', index, 0, -1)) do
    local fields = {}
    local found = redis.call('HGETALL', session_key(each))
    for i = 1, #found, 2 do fields[found[i]] = found[i + 1] end
    if fields.counter and goes_on(each, fields) then
      left = left + 1
      if left > most then
        add({'session', tenant, user, each, '', '',
            whole(tonumber(fields.ends_at) + DAY)}, 'too_many')
        ended[#ended + 1] = {each,
            redis.call('HGETALL', session_key(each))}
      end
    end
  end
  return ended
end

-- ARGV: id.
function methods.read()
  refuse_replica()
  local id = ARGV[2]
  local row = redis.call('HGETALL', session_key(id))
  local around = 0
  if #row > 0 then
    local of = redis.call('HMGET', session_key(id), 'tenant_id', 'user_id')
    around = revoked_at(of[1], of[2], id)
  end
  return {now, row, around}
end

-- ARGV: id, counter and ended_at as they were, whether the counter moves, then
-- names and values.
function methods.advance()
  local id = ARGV[2]
  local key = session_key(id)
  local row = redis.call('HMGET', key, 'counter', 'ended_at', 'tenant_id',
      'user_id')
  if row[1] ~= ARGV[3] or (row[2] or '') ~= ARGV[4] or
      began(id) <= revoked_at(row[3], row[4], id) then
    refuse_replica()
    return false
  end
  write(key, 6)
  if ARGV[5] == '1' then
    redis.call('HSET', key, 'used_at', whole(now), 'rotated_1', whole(now))
  end
  local till = tonumber(redis.call('HGET', key, 'expires_at')) + DAY
  redis.call('PEXPIREAT', key, whole(till))
  keep(user_key(row[3], row[4]), till)
  return now
end

-- ARGV: reason, then the revocation.
function methods.revoke()
  local entry, at = add(revocation_from(3), ARGV[2])
  return {entry, at}
end

-- ARGV: tenant, user.
function methods.revoked_at()
  refuse_replica()
  return revoked_at(ARGV[2], ARGV[3], '')
end

-- ARGV: tenant, user, place.
function methods.sessions()
  refuse_replica()
  return {page(user_key(ARGV[2], ARGV[3]), tag .. 's:', tonumber(ARGV[4]),
      goes_on)}
end

-- ARGV: an id for a store that has none, the id of the position's store, its
-- entry, whether to go on with a page of all. Returns the time, the id of this
-- store, the last entry, whether the store is older, and a page of entries.
function methods.changes()
  redis.call('SET', tag .. 'store', ARGV[2], 'NX')
  local store, from = redis.call('GET', tag .. 'store'), ARGV[4]
  local older = 0
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  last = last[1] and last[1][1] or '0-0'
  if ARGV[5] == '0' and ARGV[3] ~= '' then
    -- A store that was restored has no entry of this id: the last one is never
    -- removed.
    local same = from == '0-0' or
        #redis.call('XRANGE', stream, from, from) == 1
    if store ~= ARGV[3] or not same then older, from = 1, '0-0' end
  end
  return {now, store, last, older,
      redis.call('XRANGE', stream, '(' .. from, '+', 'COUNT', PAGE_ENTRIES)}
end

-- ARGV: revocations. Adds those that are not there.
function methods.restore()
  local there = {}
  local from = '-'
  repeat
    local entries = redis.call('XRANGE', stream, from, '+', 'COUNT', 1000)
    for _, entry in ipairs(entries) do
      local f = entry[2]
      local what = table.concat({f[2], f[4], f[6], f[8], f[10]}, '\0')
      there[what] = there[what] or {}
      table.insert(there[what], {tonumber(f[12]), tonumber(f[14])})
      from = '(' .. entry[1]
    end
  until #entries == 0
  for first = 2, #ARGV, 7 do
    local r = revocation_from(first)
    local what = table.concat({r[1], r[2], r[3], r[4], r[5]}, '\0')
    local at, till = tonumber(r[6]) or now, tonumber(r[7])
    local found = false
    for _, each in ipairs(there[what] or {}) do
      found = found or (each[1] >= at and each[2] >= till)
    end
    if not found then
      add(r, 'restored')
      there[what] = there[what] or {}
      table.insert(there[what], {at, till})
    end
  end
  refuse_replica()
  return now
end

-- ARGV: id, tenant, when it was created, until when it is kept, then names and
-- values.
function methods.add_key()
  local key, index = tag .. 'k:' .. ARGV[2], tag .. 'kt:' .. ARGV[3]
  write(key, 6)
  if ARGV[5] ~= '' then redis.call('PEXPIREAT', key, ARGV[5]) end
  redis.call('ZADD', index, ARGV[4], ARGV[2])
  redis.call('ZADD', tag .. 'kts', 0, ARGV[3])
  return now
end

-- ARGV: id.
function methods.read_key()
  refuse_replica()
  local key = tag .. 'k:' .. ARGV[2]
  local row = redis.call('HGETALL', key)
  local around = 0
  if #row > 0 then
    local of = redis.call('HMGET', key, 'tenant_id', 'user_id')
    around = revoked_at(of[1], of[2], '')
  end
  return {now, row, around}
end

-- ARGV: tenant, user or '', place.
function methods.keys()
  refuse_replica()
  return {page(tag .. 'kt:' .. ARGV[2], tag .. 'k:', tonumber(ARGV[4]),
      function(_, row)
        return ARGV[3] == '' or row.user_id == ARGV[3]
      end)}
end

-- ARGV: tenant, id.
function methods.end_key()
  local key = tag .. 'k:' .. ARGV[3]
  if redis.call('HGET', key, 'tenant_id') ~= ARGV[2] then
    refuse_replica()
    return 0
  end
  end_key(key)
  return 1
end

-- ARGV: id.
function methods.note_key_use()
  refuse_replica()
  local key = tag .. 'k:' .. ARGV[2]
  if redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'used_at', whole(now))
  end
  return now
end

-- ARGV: how many at most.
function methods.purge()
  refuse_replica()
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  last = last[1] and last[1][1]
  local purged = 0
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf',
      '(' .. whole(now), 'LIMIT', 0, ARGV[2])) do
    if entry ~= last then
      redis.call('XDEL', stream, entry)
      redis.call('ZREM', ends, entry)
      purged = purged + 1
    end
  end
  return purged
end

return methods[ARGV[1]]()
