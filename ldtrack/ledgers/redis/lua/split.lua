-- Make two batches of one that its owner has on loan.
-- ARGV: the batch's number, owner, milliseconds, two payload ids.
local batch = redis.call('HGET', batches, ARGV[1])
batch = batch and cjson.decode(batch)
if not batch or batch.owner ~= ARGV[2] or ARGV[2] == '' then
  return false
end
local rows = redis.call('XRANGE', queue, batch.first, batch.last)
local halves, told = {{}, {}}, {}
for at, row in ipairs(rows) do
  table.insert(halves[at <= #rows / 2 and 1 or 2], row)
end
for at, half in ipairs(halves) do
  local id = tostring(redis.call('HINCRBY', state, 'batches', 1))
  local part = {first = half[1][1], last = half[#half][1], payload = ARGV[3 + at], attempts = 0}
  lend(id, part, ARGV[2], tonumber(ARGV[3]))
  told[at] = reply(id, part, half)
end
redis.call('HDEL', batches, ARGV[1])
redis.call('ZREM', due, ARGV[1])
return told
