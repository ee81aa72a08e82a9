-- Redis runs Lua 5.1, and gives a script these.
std = {
  globals = {},
  read_globals = {
    "redis", "KEYS", "ARGV", "ipairs", "type", "tonumber", "unpack",
    math = {fields = {"floor", "ceil", "log", "max", "min"}},
    string = {fields = {"format", "match", "sub"}},
    table = {fields = {"concat", "insert"}},
  },
}
max_line_length = 80

-- A strategy stands inside the script: it sets these five locals of it, and
-- reads the others.
local strategy = {
  globals = {"read", "look", "take", "give", "window", "back", "write"},
  read_globals = {"now", "floor", "ceil", "max", "min", "divide"},
}
files["csrc/limit/redis/lua/*.lua"] = strategy
files["csrc/limit/redis/lua/script.lua"] = {
  -- What the strategies set and read.
  ignore = {"211/strategy", "211/now", "211/divide", "221/read", "221/look", "221/take", "221/give",
    "221/window", "221/back", "221/write"},
}
