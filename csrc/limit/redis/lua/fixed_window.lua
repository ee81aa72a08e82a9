-- The value of a key: the count, and the end of the window.
function read(text, hit)
  local count, last = string.match(text, '^(%d+) (%d+)$')
  count, last = tonumber(count), tonumber(last)
  if not last or last <= now then return {count = 0, last = now} end
  local state = {count = count, last = last}
  if last - now > hit.period then
    state.last, state.moved = now + hit.period, true
  end
  return state
end
function look(state)
  local left = state.last - now
  return state.count, left, left
end
function take(state, hit)
  if state.count == 0 then state.last = now + hit.period end
  state.count = state.count + hit.cost
end
function give(state, hit, at)
  local same = at < state.last and at >= state.last - hit.period
  if same and state.count >= hit.cost then
    state.count = state.count - hit.cost
    if state.count == 0 then state.last = now end
  end
end
function window(state) return state.last, state.last - now end
function back(state, permits)
  if state.count < permits then return false end
  state.count = state.count - permits
  return true
end
function write(state)
  return string.format('%.0f %.0f', state.count, state.last),
      state.last - now
end
