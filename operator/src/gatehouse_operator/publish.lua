-- Puts a map into Redis, unless a newer one is there, and says so.
--
-- KEYS: the map, its number.
-- ARGV: the number, the map, the channel.
-- Returns the number of the map that is there now.
local known = tonumber(redis.call('GET', KEYS[2]) or '0')
local new = tonumber(ARGV[1])
if known > new or (known == new and redis.call('EXISTS', KEYS[1]) == 1) then
  return known
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[1])
return new
