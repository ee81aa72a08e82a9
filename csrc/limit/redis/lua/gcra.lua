-- The value of a key: the theoretical arrival time in microseconds, and behind
-- a point the nanoseconds that go beyond them, if any. In here it is how far
-- that time is ahead of now: for periods of up to 30 days in nanoseconds, for
-- longer ones in microseconds. So all times are whole numbers below 2^53.
local LONGEST_IN_NS = 30 * 86400 * 1000000
function read(text, hit)
  local per_us = hit.period <= LONGEST_IN_NS and 1000 or 1
  local state = {per_us = per_us, ahead = 0,
      interval = ceil(hit.period * per_us / hit.limit)}
  local us, ns = string.match(text, '^(%d+)%.?(%d*)$')
  local ahead = us and (us - now) * per_us + (tonumber(ns) or 0)
  if ahead and ahead > 0 and ahead <= state.interval * hit.limit then
    state.ahead = ahead
  end
  return state
end
function look(state, hit)
  local over = state.ahead - (hit.limit - hit.cost) * state.interval
  return ceil(state.ahead / state.interval), ceil(state.ahead / state.per_us),
      ceil(over / state.per_us)
end
function take(state, hit)
  state.ahead = state.ahead + state.interval * hit.cost
end
function give(state, hit, at)
  local rest = state.interval * hit.cost - max(now - at, 0) * state.per_us
  if rest > 0 then state.ahead = max(state.ahead - rest, 0) end
end
function write(state)
  local us = floor(state.ahead / state.per_us)
  local ns = state.ahead - us * state.per_us
  local format = ns > 0 and '%.0f.%03.0f' or '%.0f'
  return string.format(format, now + us, ns), ceil(state.ahead / state.per_us)
end
