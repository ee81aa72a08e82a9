-- The value of a key: the start of the current window in milliseconds, its
-- count, and the count of the window before. A clock that was set back has left
-- a state from ahead. From up to one period, it is looked at from its start;
-- from further, its counts move to the window of now.
function read(text, hit)
  local start, current, previous =
      string.match(text, '^(%d+) (%d+) (%d+)$')
  start = tonumber(start)
  local state = {now = now, period = hit.period / 1000,
      start = floor(now / hit.period) * (hit.period / 1000),
      current = 0, previous = 0}
  local ahead = start and start - state.start
  if ahead and ahead > state.period then
    state.moved, ahead = true, 0
  elseif ahead and ahead > 0 then
    state.start, state.now, ahead = start, start * 1000, 0
  end
  if ahead == 0 then
    state.current = tonumber(current)
    state.previous = tonumber(previous)
  elseif ahead == -state.period then
    state.previous = tonumber(current)
  end
  return state
end
local function within(count, room, period)
  if count <= room then return period end
  return (divide(room, period, count))
end
function look(state, hit)
  local period = state.period
  local now_ms = floor(state.now / 1000)
  local last = state.start + period
  local carried, rest =
      divide(state.previous, last - now_ms, period)
  if rest > 0 then carried = carried + 1 end
  local reset = now_ms
  if state.current > 0 then reset = last + period
  elseif state.previous > 0 then reset = last end
  local room = hit.limit - hit.cost
  local retry
  if state.current <= room then
    retry = last - within(state.previous, room - state.current,
        period)
  else
    retry = last + period - within(state.current, room, period)
  end
  return carried + state.current, (reset - now_ms) * 1000,
      retry * 1000 - state.now
end
function take(state, hit) state.current = state.current + hit.cost end
function give(state, hit, at)
  local behind = state.start - floor(at / hit.period) * state.period
  if behind == 0 and state.current >= hit.cost then
    state.current = state.current - hit.cost
  elseif behind == state.period and state.previous >= hit.cost then
    state.previous = state.previous - hit.cost
  end
end
function window(state)
  local last = (state.start + state.period) * 1000
  return last, last - state.now
end
function back(state, permits)
  if state.current < permits then return false end
  state.current = state.current - permits
  return true
end
function write(state)
  if state.current == 0 and state.previous == 0 then return '', 0 end
  return string.format('%.0f %.0f %.0f', state.start, state.current,
      state.previous),
      (state.start + 2 * state.period) * 1000 - now
end
