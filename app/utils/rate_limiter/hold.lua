-- Holds, renews and lets go sockets, as members of their user's set with
-- the end of their lease as score.
--
-- KEYS: a set for each socket. ARGV, once: how long a lease lives, in ms.
-- Then for each socket: its id, and how many its user may have; 0 lets it
-- go, -1 renews it whatever the number.
-- Returns 1 for each socket that is held, else 0.
local LIFE = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function fits(key, socket, most)
  if most < 0 or redis.call('ZSCORE', key, socket) then
    return true
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
  return redis.call('ZCARD', key) < most
end

local held = {}
for i, key in ipairs(KEYS) do
  local socket, most = ARGV[2 * i], tonumber(ARGV[2 * i + 1])
  if most == 0 then
    redis.call('ZREM', key, socket)
    table.insert(held, 0)
  elseif fits(key, socket, most) then
    redis.call('ZADD', key, string.format('%.0f', now + LIFE), socket)
    redis.call('PEXPIRE', key, LIFE)
    table.insert(held, 1)
  else
    table.insert(held, 0)
  end
end
return held
