-- Tells of the sockets of one process, or lists those of all.
--
-- KEYS: a hash of what each process has told, and when. ARGV: how long that
-- is believed, in seconds; then, to tell something, the process's name and
-- its sockets as JSON, or the name alone when it has none any more.
local now = tonumber(redis.call('TIME')[1])
if ARGV[3] then
  redis.call('HSET', KEYS[1], ARGV[2], now .. ' ' .. ARGV[3])
  return redis.call('EXPIRE', KEYS[1], ARGV[1])
elseif ARGV[2] then
  return redis.call('HDEL', KEYS[1], ARGV[2])
end
local told = redis.call('HGETALL', KEYS[1])
local found = {}
for i = 1, #told, 2 do
  local at, sockets = string.match(told[i + 1], '^(%d+) (.*)$')
  if now - tonumber(at) > tonumber(ARGV[1]) then
    redis.call('HDEL', KEYS[1], told[i])
  else
    table.insert(found, told[i])
    table.insert(found, sockets)
  end
end
return found
