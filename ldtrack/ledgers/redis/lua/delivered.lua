-- Delete a batch with its rows, and count them.
-- ARGV: the batch's number.
local batch = redis.call('HGET', batches, ARGV[1])
if batch then
  redis.call('HINCRBY', state, 'delivered', drop(cjson.decode(batch)))
  forget(ARGV[1])
end
