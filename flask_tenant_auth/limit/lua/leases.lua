-- Keeps the requests that run at once on many hosts. Each is a lease: a member
-- of the sorted set of its client, whose score says when it ends by the clock
-- of Redis, in milliseconds.
--
-- take:    KEYS[1] the client; ARGV the most, the lease and its milliseconds.
--          1 if there was room, 0 if so many run already.
-- renew:   KEYS the clients; ARGV the milliseconds, then the lease of each.
-- release: KEYS[1] the client; ARGV the lease.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A set lives as long as its last lease.
local function keep(key, lease, ms)
  redis.call('ZADD', key, string.format('%.0f', now + ms), lease)
  redis.call('PEXPIRE', key, ms)
end

local method = ARGV[1]
if method == 'take' then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
  -- One that is there was taken by this very call, whose answer was lost: it
  -- is taken anew.
  if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2])
      and redis.call('ZREM', KEYS[1], ARGV[3]) == 0 then
    return 0
  end
  keep(KEYS[1], ARGV[3], tonumber(ARGV[4]))
elseif method == 'renew' then
  for i, key in ipairs(KEYS) do keep(key, ARGV[i + 2], tonumber(ARGV[2])) end
else
  redis.call('ZREM', KEYS[1], ARGV[2])
end
return 1
