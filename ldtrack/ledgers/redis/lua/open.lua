-- Agree on the layout and the number of shards: with another, claims would be sought in the wrong shard.
-- ARGV: number of shards, layout.
local told = redis.call('HMGET', state, 'shards', 'layout')
if told[1] then
  return told
end
redis.call('HSET', state, 'shards', ARGV[1], 'layout', ARGV[2])
return {ARGV[1], ARGV[2]}
