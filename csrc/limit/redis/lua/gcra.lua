-- The value of a key: the theoretical arrival time.
function read(text, hit)
  local interval = ceil(hit.period / hit.limit)
  local tat = tonumber(string.match(text, '^%d+$'))
  if not tat or tat < now or tat - now > interval * hit.limit then
    tat = now
  end
  return {tat = tat, interval = interval}
end
function look(state, hit)
  local ahead = state.tat - now
  return ceil(ahead / state.interval), ahead,
      ahead - (hit.limit - hit.cost) * state.interval
end
function take(state, hit)
  state.tat = state.tat + state.interval * hit.cost
end
function give(state, hit, at)
  local rest = state.interval * hit.cost - max(now - at, 0)
  if rest > 0 then state.tat = max(state.tat - rest, now) end
end
function write(state)
  return string.format('%.0f', state.tat), state.tat - now
end
