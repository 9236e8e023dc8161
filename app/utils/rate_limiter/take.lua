-- Debits several windows at once, each a sorted set of its own.
--
-- A window is its past grants, added up by the moment they leave it. The
-- members of the set are those moments, in ticks since the epoch; a score is
-- moment * UNIT + tokens, so that one range tells both. The member "used" is
-- the sum of all tokens, and the only one whose score is below UNIT.
--
-- ARGV, once: TICK and LEASE in ms. Then for each key: capacity, window in
-- ms, wanted, target, reserve, and of the lease that the caller gives up: its
-- moment, tokens used, tokens left.
-- Returns for each key: tokens granted, their moment, tokens still free, ms
-- until the next tokens leave the window.
local UNIT = 131072
local TICK, LEASE = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function text(number)
  return string.format('%.0f', number)
end

local function add(key, moment, tokens)
  if tokens <= 0 then
    return
  end
  if redis.call('ZSCORE', key, moment) then
    redis.call('ZINCRBY', key, tokens, moment)
  else
    redis.call('ZADD', key, text(tonumber(moment) * UNIT + tokens), moment)
  end
end

-- Takes tokens out again; returns how many there were, at most as many.
local function remove(key, moment, tokens)
  local score = tokens > 0 and redis.call('ZSCORE', key, moment)
  if not score then
    return 0
  end
  local found = tonumber(score) % UNIT
  if found <= tokens then
    redis.call('ZREM', key, moment)
    return found
  end
  redis.call('ZINCRBY', key, -tokens, moment)
  return tokens
end

-- Forgets what has left the window; returns how many tokens that were.
local function forget(key)
  local last = text((math.floor(now / TICK) + 1) * UNIT - 1)
  local gone = redis.call(
    'ZRANGEBYSCORE', key, UNIT, last, 'WITHSCORES')
  local tokens = 0
  for i = 2, #gone, 2 do
    tokens = tokens + tonumber(gone[i]) % UNIT
  end
  if #gone > 0 then
    redis.call('ZREMRANGEBYSCORE', key, UNIT, last)
  end
  return tokens
end

local function moment(milliseconds)
  return text(math.ceil((now + milliseconds) / TICK))
end

-- A lease that ends was used before now: its used tokens need not be counted
-- for as long as it might have lived, its others need not be counted at all.
local function settle(key, window, leased, used, left)
  local sooner = moment(window)
  if tonumber(sooner) >= tonumber(leased) then
    return remove(key, leased, left)
  end
  local found = remove(key, leased, used + left)
  local kept = math.min(used, found)
  add(key, sooner, kept)
  return found - kept
end

local function next_leave(key, window)
  local first = redis.call(
    'ZRANGEBYSCORE', key, UNIT, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #first == 0 then
    return window
  end
  return tonumber(first[1]) * TICK - now
end

local answer = {}
for i, key in ipairs(KEYS) do
  local at = 2 + (i - 1) * 8
  local function number(n)
    return tonumber(ARGV[at + n])
  end
  local capacity, window = number(1), number(2)
  local wanted, target, reserve = number(3), number(4), number(5)
  local used = tonumber(redis.call('ZSCORE', key, 'used') or 0)
  local freed = forget(key)
    + settle(key, window, ARGV[at + 6], number(7), number(8))
  local free = capacity - used + freed
  local granted = math.max(0, math.min(wanted, free))
  granted = math.max(granted, math.min(target, free - reserve))
  local leaves = moment(window + LEASE)
  add(key, leaves, granted)
  if granted ~= freed then
    redis.call('ZINCRBY', key, granted - freed, 'used')
  end
  if granted > 0 then
    redis.call('PEXPIRE', key, window + LEASE + TICK)
  end
  table.insert(answer, granted)
  table.insert(answer, leaves)
  table.insert(answer, math.max(0, free - granted))
  table.insert(answer, next_leave(key, window))
end
return answer
