-- The value of a key: the theoretical arrival time in microseconds, and behind
-- a point the nanoseconds that go beyond them, if any. In here it is how far
-- that time is ahead of now: for periods of up to 30 days in nanoseconds, for
-- longer ones in microseconds. So all times are whole numbers below 2^53.
-- x + -x % n is x rounded up to a multiple of n.
local LONGEST_IN_NS = 30 * 86400 * 1000000
function read(text, hit)
  local per_us = hit.period <= LONGEST_IN_NS and 1000 or 1
  local state = {per_us = per_us, ahead = 0,
      interval = ceil(hit.period * per_us / hit.limit)}
  local us, ns = string.match(text, '^(%d+)%.?(%d*)$')
  local ahead = us and (us - now) * per_us + (tonumber(ns) or 0)
  if ahead and ahead > 0 then
    local most = state.interval * hit.limit
    state.moved = ahead > most
    state.ahead = min(ahead, most)
  end
  return state
end
function look(state, hit)
  local ahead, interval, per_us = state.ahead, state.interval, state.per_us
  local over = ahead - (hit.limit - hit.cost) * interval
  return (ahead + -ahead % interval) / interval,
      (ahead + -ahead % per_us) / per_us, (over + -over % per_us) / per_us
end
function take(state, hit)
  state.ahead = state.ahead + state.interval * hit.cost
end
function give(state, hit, at)
  local rest = state.interval * hit.cost - max(now - at, 0) * state.per_us
  if rest > 0 then state.ahead = max(state.ahead - rest, 0) end
end
function window(state, hit)
  return floor(now / hit.period), floor(state.ahead / state.per_us)
end
function write(state)
  local ahead, per_us = state.ahead, state.per_us
  local ns = ahead % per_us
  local us = (ahead - ns) / per_us
  if ns == 0 then return string.format('%.0f', now + us), us end
  return string.format('%.0f.%03.0f', now + us, ns), us + 1
end
