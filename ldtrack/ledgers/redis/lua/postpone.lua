-- Take a batch back from its owner, and keep it for a while.
-- ARGV: the batch's number, owner, milliseconds.
local batch = redis.call('HGET', batches, ARGV[1])
batch = batch and cjson.decode(batch)
if batch and batch.owner == ARGV[2] and ARGV[2] ~= '' then
  lend(ARGV[1], batch, '', tonumber(ARGV[3]))
end
