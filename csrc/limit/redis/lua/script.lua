-- Counts one request in Redis: all of its hits, or none of them.
--
-- KEYS: one a hit. ARGV: strategy, action, then limit, cost and period (in
-- microseconds) of each hit. The answer: for each hit whether it fits, what
-- remains, reset and retry after so many microseconds.
--
-- Lua's numbers are doubles, whole up to 2^53: the time of day in microseconds
-- has 51 bits, a period 48, a limit 23. Only the products of the sliding window
-- are larger, and divide() works them out in two halves.
--
-- Everything is read and worked out first and written last. SET gives the time
-- to live with the value. An error of Redis, say -OOM or -READONLY, is handed
-- on as it is. A clock that was set back may have left a state from the future:
-- one that no sequence of hits could have left counts as none.
local strategy, action = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local floor, ceil = math.floor, math.ceil

-- The quotient and the rest of a * b / c.
local function divide(a, b, c)
  local high = floor(a / 4096)
  local product = high * b
  local quotient = floor(product / c)
  product = (product - quotient * c) * 4096 + (a - high * 4096) * b
  local rest = floor(product / c)
  return quotient * 4096 + rest, product - rest * c
end

-- Each strategy defines these four.
--   read(text, hit)   a state from the value of a key; '' is none
--   look(state, hit)  used, microseconds to the reset, and to the retry if the
--                     hit does not fit
--   take(state, hit)  counts the hit, which fits
--   write(state)      the value of the key, and its life in microseconds
local read, look, take, write

--@ strategies

local hits, states, answer = {}, {}, {}
local fits = true
for i, key in ipairs(KEYS) do
  local hit = {limit = tonumber(ARGV[3 * i]),
      cost = tonumber(ARGV[3 * i + 1]),
      period = tonumber(ARGV[3 * i + 2])}
  hits[i] = hit
  if not states[key] then
    local text = redis.pcall(action == 'r' and 'DEL' or 'GET', key)
    if type(text) == 'table' and text.err then return text end
    states[key] = read(type(text) == 'string' and text or '', hit)
  end
  local used, reset, retry = look(states[key], hit)
  local remaining = math.max(hit.limit - used, 0)
  local fit = hit.cost <= remaining
  fits = fits and fit
  answer[4 * i - 3] = fit and 1 or 0
  answer[4 * i - 2] = remaining
  answer[4 * i - 1] = reset
  answer[4 * i] = fit and 0 or retry
end
if action ~= 'c' or not fits then return answer end

for i, key in ipairs(KEYS) do
  local hit, state = hits[i], states[key]
  local used, reset, retry = look(state, hit)
  local remaining = math.max(hit.limit - used, 0)
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
for _, key in ipairs(KEYS) do
  local text, life = write(states[key])
  local done = redis.pcall('SET', key, text, 'PX', ceil(life / 1000))
  if done.err then return done end
end
return answer
