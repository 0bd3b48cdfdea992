-- Make due what was postponed at least so long ago. What is on loan stays on loan.
-- ARGV: milliseconds.
local postponed = redis.call('ZRANGEBYSCORE', due, string.format('(%d', now), '+inf', 'WITHSCORES')
for at = 1, #postponed, 2 do
  local batch = cjson.decode(redis.call('HGET', batches, postponed[at]))
  if batch.owner == '' and tonumber(postponed[at + 1]) - batch.wait <= now - tonumber(ARGV[1]) then
    redis.call('ZADD', due, now, postponed[at])
  end
end
