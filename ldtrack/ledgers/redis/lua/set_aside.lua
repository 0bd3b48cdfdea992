-- Move a batch's rows to those that were refused.
-- ARGV: the batch's number, reason.
local batch = redis.call('HGET', batches, ARGV[1])
if batch then
  batch = cjson.decode(batch)
  for _, row in ipairs(redis.call('XRANGE', queue, batch.first, batch.last)) do
    local meta, body, moment = row[2][2], row[2][4], string.format('%d', now)
    redis.call('XADD', aside, '*', 'm', meta, 'b', body, 'a', moment, 'w', ARGV[2])
  end
  drop(batch)
  forget(ARGV[1])
end
