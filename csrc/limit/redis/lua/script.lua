-- Counts one request in Redis: all of its hits, or none of them.
--
-- KEYS: one a hit. ARGV: strategy, action, then limit, cost and period (in
-- microseconds) of each hit. The answer: for each hit whether it fits, what
-- remains, reset and retry after so many microseconds.
--
-- The actions: c counts, p peeks, r resets; t counts what may be given back,
-- and g gives it back. The answer to t goes on with a number for each hit, the
-- time of its receipt. So do the arguments of g.
--
-- l counts as c does, and leases permits to the host that asks: they count as
-- used from now on, and the host hands them out itself. Its arguments go on
-- with the part of what remains, the number of the host (random, 48 bits, never
-- 0), a nonce, and two numbers for each hit: how many permits it takes at most
-- (0: it asks for none), and how many it has spent since it was last answered.
-- The answer goes on with four numbers for each hit: the permits beyond its
-- cost; the nonce (0: there is none) and the end that name the window; for how
-- many microseconds they last.
--
-- b offers permits of leases that rest: cost is their number, and the arguments
-- go on with the number of the host (0: one that ends, and keeps nothing), and
-- the nonce and the end of each. The answer is a 1 for each that was taken;
-- else the host keeps them, and a 2 says that no other host asks. They are
-- taken where others ask, and a request was refused or hardly more remains than
-- an equal share of what is out. They are taken from the window of that name
-- and from no other, and open none.
--
-- Lua's numbers are doubles, whole up to 2^53: the time of day in microseconds
-- has 51 bits, a period 48, a limit 31. Only products of the sliding window may
-- be larger, and divide() works them out in three parts. floor(a / b) and
-- ceil(a / b) are exact where a and b are whole numbers below 2^53.
--
-- Everything is read and worked out first and written last. SET gives the time
-- to live with the value. An error of Redis, say -OOM or -READONLY, is handed
-- on as it is. A clock that was set back may have left a state from the future:
-- its count stays, and its time moves to the latest that a hit of now leaves.
--
-- Behind the value of a key with leases stand an 'l' and six numbers: nonce and
-- end, which name the window; the hosts that have asked, a bit each; the one
-- that alone has asked (0: several have); the permits that are out; whether a
-- request was refused while some were.
--
-- A counter that was reset has 'r' and the time of the reset behind its value,
-- for two periods at least. A receipt of that time or earlier gives nothing
-- back: its hit was forgotten, and others may have been counted since.
local strategy, action = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local log = math.log

-- The quotient and the rest of a * b / c. A product that is too large is
-- divided as by hand: a is written in three digits to the base of 2^12. b is a
-- time of at most one period in milliseconds (38 bits), and a or b is at most
-- c: so the product of a digit, with the rest before it, has 51 bits at most.
local function divide(a, b, c)
  local product = a * b
  if product < 9007199254740992 then
    local quotient = floor(product / c)
    return quotient, product - quotient * c
  end
  local quotient, rest, place = 0, 0, 16777216
  while place >= 1 do
    local digit = floor(a / place)
    product = rest * 4096 + digit * b
    local part = floor(product / c)
    quotient, rest = quotient * 4096 + part, product - part * c
    a, place = a - digit * place, place / 4096
  end
  return quotient, rest
end

-- Each strategy defines these six, and one that has windows a seventh.
--   read(text, hit)       a state from the value of a key; '' is none
--   look(state, hit)      used, microseconds to the reset, and to the retry if
--                         the hit does not fit
--   take(state, hit)      counts the hit, which fits
--   give(state, hit, at)  gives back the hit that was counted at that time, if
--                         the state holds it
--   window(state, hit)    what names the window, and for how many microseconds
--                         a permit that is leased now lasts
--   back(state, permits)  takes permits back, if the state holds so many
--   write(state)          the value of the key, and its life in microseconds
-- read() says in state.moved whether a clock that was set back has left it.
local read, look, take, give, window, back, write

--@ strategies

-- How many hosts have asked: of 48 bits, each host sets one, and two hosts may
-- set the same (linear counting, Whang et al. 1990).
local function hosts_of(bits)
  local free = 0
  for _ = 1, 48 do
    free = free + (1 - bits % 2)
    bits = floor(bits / 2)
  end
  return max(floor(48 * log(48 / max(free, 1)) + 0.5), 1)
end

local hits, states, resets, leases, answer = {}, {}, {}, {}, {}
local fits = true
local asked = 2 + 3 * #KEYS
local part = tonumber(ARGV[asked + 1])
local host = action == 'l' and tonumber(ARGV[asked + 2])
    or action == 'b' and tonumber(ARGV[asked + 1])
local bit, leaves = host and 2 ^ (host % 48), host == 0

-- The leases of the window that the state is in.
local function leases_of(key, hit)
  local known = leases[key]
  if known and known.ends == window(states[key], hit) then return known end
end

-- Whether hosts other than the one that asks have taken permits.
local function others_hold(known)
  return known and known.out > 0 and known.only ~= host
end
for i, key in ipairs(KEYS) do
  local hit = {limit = tonumber(ARGV[3 * i]),
      cost = tonumber(ARGV[3 * i + 1]),
      period = tonumber(ARGV[3 * i + 2])}
  hits[i] = hit
  if not states[key] then
    local text = redis.pcall(action == 'r' and 'DEL' or 'GET', key)
    if type(text) == 'table' and text.err then return text end
    if text == 1 then resets[key] = now end
    text = type(text) == 'string' and text or ''
    local value, reset_at = string.match(text, '^(.-)r(%d+)$')
    resets[key] = resets[key] or tonumber(reset_at)
    text = value or text
    local before, nonce, ends, hosts, only, out, refused =
        string.match(text, '^(.-)l(%d+) (%d+) (%d+) (%d+) (%d+) (%d)$')
    if before then
      leases[key] = {nonce = tonumber(nonce), ends = tonumber(ends),
          hosts = tonumber(hosts), only = tonumber(only),
          out = tonumber(out), refused = tonumber(refused)}
    end
    states[key] = read(before or text, hit)
  end
  local state = states[key]
  if action == 'g' then
    local at = tonumber(ARGV[asked + i])
    if not resets[key] or at > resets[key] then give(state, hit, at) end
  end
  local used, reset, retry = look(state, hit)
  local remaining = max(hit.limit - used, 0)
  local fit = hit.cost <= remaining
  fits = fits and fit
  answer[4 * i - 3] = fit and 1 or 0
  answer[4 * i - 2] = remaining
  answer[4 * i - 1] = reset
  answer[4 * i] = fit and 0 or retry
  if action == 't' then answer[4 * #KEYS + i] = state.now or now end
end

-- Writes the keys; the error of Redis, if there is one.
local function store(all)
  for i, key in ipairs(KEYS) do
    local state, reset_at = states[key], resets[key]
    local known = leases_of(key, hits[i])
    if all or state.moved or known and known.changed then
      local text, life = '', 0
      if action ~= 'r' then text, life = write(state) end
      if life > 0 and known then
        text = string.format('%sl%.0f %.0f %.0f %.0f %.0f %.0f', text,
            known.nonce, known.ends, known.hosts, known.only, known.out,
            known.refused)
      end
      if reset_at and now - reset_at < 2 * hits[i].period then
        text = string.format('%sr%.0f', life > 0 and text or '', reset_at)
        life = max(life, 2 * hits[i].period)
      end
      local done
      if life > 0 then
        done = redis.pcall('SET', key, text, 'PX', ceil(life / 1000))
      else
        done = redis.pcall('DEL', key)
      end
      if type(done) == 'table' and done.err then return done end
    end
  end
end

-- Whether permits that rest are of more use to other hosts: one of them was
-- refused, or hardly more remains than an equal share of what is out.
local function is_short(state, hit, known)
  local remaining = max(hit.limit - look(state, hit), 0)
  return known.refused == 1 or known.only ~= host
      and (remaining - 2) * hosts_of(known.hosts) < known.out
end

if action == 'b' then
  answer = {}
  for i, key in ipairs(KEYS) do
    local hit, known = hits[i], leases_of(key, hits[i])
    local taken = back and known
        and known.nonce == tonumber(ARGV[asked + 1 + i])
        and known.ends == tonumber(ARGV[asked + 1 + #KEYS + i])
        and hit.cost <= known.out
        and (leaves or is_short(states[key], hit, known))
        and back(states[key], hit.cost)
    if taken then
      known.out, known.changed = known.out - hit.cost, true
    end
    local alone = known and not leaves and known.only == host
    answer[i] = taken and 1 or alone and 2 or 0
  end
  return store(false) or answer
end

-- What is answered to a hit that does not fit, and remembered of it.
local function refuse(i, used, reset, retry)
  local key, hit = KEYS[i], hits[i]
  local known = leases_of(key, hit)
  if others_hold(known) then
    retry = min(retry, 250000)
    known.changed = known.changed or known.refused == 0
    known.refused = 1
  end
  answer[4 * i - 3], answer[4 * i - 2] = 0, max(hit.limit - used, 0)
  answer[4 * i - 1], answer[4 * i] = reset, retry
end

-- What an l is answered for a hit, before it has its permits. What the host has
-- spent is out no more, also where the request is refused.
local function name_window(i)
  local state, hit = states[KEYS[i]], hits[i]
  local known = leases_of(KEYS[i], hit)
  local at = 4 * #KEYS + 4 * (i - 1)
  local ends, lasts = window(state, hit)
  answer[at + 1], answer[at + 4] = 0, lasts
  answer[at + 2], answer[at + 3] = known and known.nonce or 0, ends
  local spent = known and min(tonumber(ARGV[asked + 3 + #KEYS + i]), known.out)
  if known and spent > 0 then
    known.out, known.changed = known.out - spent, true
  end
  return at, known, ends
end

local function lease(i)
  local key, hit = KEYS[i], hits[i]
  local state, most = states[key], tonumber(ARGV[asked + 3 + i])
  local at, known, ends = name_window(i)
  if most == 0 then return end
  if not known then
    known = {nonce = tonumber(ARGV[asked + 3]), ends = ends, hosts = 0,
        only = host, out = 0, refused = 0}
    leases[key] = known
  end
  if known.only ~= host then known.only = 0 end
  if floor(known.hosts / bit) % 2 == 0 then known.hosts = known.hosts + bit end
  local remaining = max(hit.limit - look(state, hit), 0)
  local share = floor(min(part * (remaining + hit.cost) / hosts_of(known.hosts),
      most))
  local permits = share < 2 and 0 or min(max(share - hit.cost, 0), remaining)
  if permits > 0 then
    take(state, {cost = permits, period = hit.period, limit = hit.limit})
    remaining = remaining - permits
    if back then known.out = known.out + permits end
    answer[4 * i - 2] = remaining
  end
  local _, lasts = window(state, hit)
  answer[at + 1], answer[at + 2], answer[at + 4] = permits, known.nonce, lasts
end

local counts = action == 'c' or action == 't' or action == 'l'
if action == 'p' or counts and not fits then
  for i, key in ipairs(KEYS) do
    if action == 'l' then name_window(i) end
    if answer[4 * i - 3] == 0 then
      refuse(i, look(states[key], hits[i]))
    end
  end
  return counts and store(false) or answer
end

for i, key in ipairs(KEYS) do
  if not counts then break end
  local hit, state = hits[i], states[key]
  local used, reset, retry = look(state, hit)
  -- Two hits of this request may share a counter that has room for one.
  if hit.cost > max(hit.limit - used, 0) then
    if action == 'l' then
      for each = 1, #KEYS do name_window(each) end
    end
    refuse(i, used, reset, retry)
    return answer
  end
  take(state, hit)
  used, reset = look(state, hit)
  answer[4 * i - 2], answer[4 * i - 1] = hit.limit - used, reset
end
if action == 'l' then
  for i = 1, #KEYS do lease(i) end
end
return store(true) or answer
