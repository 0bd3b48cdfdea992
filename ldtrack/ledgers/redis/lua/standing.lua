-- Count, and find the row that has waited longest: what it costs does not grow with the backlog.
local head = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
local counts = redis.call('HMGET', state, 'delivered', 'stored')
return {
  redis.call('XLEN', queue), redis.call('XLEN', aside),
  tonumber(counts[1] or 0), tonumber(counts[2] or 0),
  head and head[1] or false, head and head[2][2] or false,
}
