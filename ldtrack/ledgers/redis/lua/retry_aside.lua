-- Move rows that were refused to the end of the queue.
-- ARGV: most rows.
local rows, ids = redis.call('XRANGE', aside, '-', '+', 'COUNT', ARGV[1]), {}
local last = tonumber(redis.call('HGET', state, 'stored') or 0)
for at, row in ipairs(rows) do
  last, ids[at] = last + 1, row[1]
  redis.call('XADD', queue, string.format('%d-0', last), 'm', row[2][2], 'b', row[2][4])
end
if #rows > 0 then
  redis.call('HSET', state, 'stored', string.format('%d', last))
  redis.call('XDEL', aside, unpack(ids))
end
return #rows
