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
-- Lua's numbers are doubles, whole up to 2^53: the time of day in microseconds
-- has 51 bits, a period 48, a limit 31. Only the products of the sliding window
-- are larger, and divide() works them out in three parts. floor(a / b) and
-- ceil(a / b) are exact where a and b are whole numbers below 2^53.
--
-- Everything is read and worked out first and written last. SET gives the time
-- to live with the value. An error of Redis, say -OOM or -READONLY, is handed
-- on as it is. A clock that was set back may have left a state from the future:
-- one that no sequence of hits could have left counts as none.
--
-- A counter that was reset has 'r' and the time of the reset behind its value,
-- for two periods at least. A receipt of that time or earlier gives nothing
-- back: its hit was forgotten, and others may have been counted since.
local strategy, action = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local floor, ceil, max = math.floor, math.ceil, math.max

-- The quotient and the rest of a * b / c, as by hand: a is written in three
-- digits to the base of 2^12. b is a time of at most one period in milliseconds
-- (38 bits), and a or b is at most c: so each product has 51 bits at most.
local function divide(a, b, c)
  local quotient, rest = 0, 0
  for _, place in ipairs({16777216, 4096, 1}) do
    local digit = floor(a / place)
    a = a - digit * place
    local product = rest * 4096 + digit * b
    local part = floor(product / c)
    quotient, rest = quotient * 4096 + part, product - part * c
  end
  return quotient, rest
end

-- Each strategy defines these five.
--   read(text, hit)       a state from the value of a key; '' is none
--   look(state, hit)      used, microseconds to the reset, and to the retry if
--                         the hit does not fit
--   take(state, hit)      counts the hit, which fits
--   give(state, hit, at)  gives back the hit that was counted at that time, if
--                         the state holds it
--   write(state)          the value of the key, and its life in microseconds
local read, look, take, give, write

--@ strategies

local hits, states, resets, answer = {}, {}, {}, {}
local fits = true
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
    states[key] = read(value or text, hit)
  end
  local state = states[key]
  if action == 'g' then
    local at = tonumber(ARGV[2 + 3 * #KEYS + i])
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
local counts = action == 'c' or action == 't'
if action == 'p' or counts and not fits then return answer end

for i, key in ipairs(KEYS) do
  if not counts then break end
  local hit, state = hits[i], states[key]
  local used, reset, retry = look(state, hit)
  local remaining = max(hit.limit - used, 0)
  -- Two hits of this request may share a counter that has room for one.
  if hit.cost > remaining then
    answer[4 * i - 3], answer[4 * i - 2] = 0, remaining
    answer[4 * i - 1], answer[4 * i] = reset, retry
    return answer
  end
  take(state, hit)
  used, reset = look(state, hit)
  answer[4 * i - 2], answer[4 * i - 1] = hit.limit - used, reset
end
for i, key in ipairs(KEYS) do
  local text, life = '', 0
  if action ~= 'r' then text, life = write(states[key]) end
  local reset_at = resets[key]
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
return answer
