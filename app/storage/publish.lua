-- Numbers events, remembers them and tells every process of them, at once.
--
-- KEYS: the position (a hash of epoch, seq and the server's run), the stream,
-- the keys of what was published. ARGV: channel, an epoch in case a new one is
-- needed, epoch and seq the caller knows of, how much is remembered; then key
-- and body of each event. Returns epoch and seq.
--
-- A server that was started since, or has taken another's place, may have lost
-- the last events, which some have seen and others have not: only another
-- epoch tells all of them. So does a seq below one that was seen in the same
-- epoch. An event without a body stands for events that were dropped before
-- they came here: it begins an epoch that is called by its key. Whatever
-- begins, what was published is not published again.
local epoch, seq, known = unpack(
  redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'run'))
local server = redis.pcall('INFO', 'server')
local run = type(server) == 'string' and server:match('run_id:(%x+)') or ''
seq = tonumber(seq or 0)
local function begin(name)
  epoch, seq = name, 0
  redis.call('DEL', KEYS[2])
  redis.call('ZUNIONSTORE', KEYS[3], 1, KEYS[3], 'WEIGHTS', 0)
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', seq, 'run', run)
end
if known ~= run or (epoch == ARGV[3] and seq < tonumber(ARGV[4])) then
  begin(ARGV[2])
end
local length = tonumber(ARGV[5])
for i = 6, #ARGV, 2 do
  local is_new = redis.call('ZADD', KEYS[3], 'NX', seq + 1, ARGV[i]) == 1
  if is_new and ARGV[i + 1] == '' then
    begin(ARGV[i])
  elseif is_new then
    seq = seq + 1
    redis.call('HSET', KEYS[1], 'seq', seq)
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', length, seq .. '-0',
      'body', ARGV[i + 1])
    redis.call('PUBLISH', ARGV[1], epoch .. ' ' .. seq .. ' ' .. ARGV[i + 1])
  end
end
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -length - 1)
return {epoch, seq}
