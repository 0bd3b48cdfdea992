-- The batches before this one mostly are gone by then, so it is the head of the stream: that is cut off in
-- whole nodes. Only behind a batch that still waits its rows are deleted one by one.
local function number(id)
  return tonumber(string.match(id, '^%d+'))
end

local function drop(batch)
  local head = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
  if head and number(head[1]) >= number(batch.first) then
    return redis.call('XTRIM', queue, 'MINID', string.format('%d', number(batch.last) + 1))
  end
  local gone, ids = 0, {}
  for _, row in ipairs(redis.call('XRANGE', queue, batch.first, batch.last)) do
    ids[#ids + 1] = row[1]
    if #ids == 1000 then
      gone, ids = gone + redis.call('XDEL', queue, unpack(ids)), {}
    end
  end
  return #ids > 0 and gone + redis.call('XDEL', queue, unpack(ids)) or gone
end

local function forget(id)
  redis.call('HDEL', batches, id)
  redis.call('ZREM', due, id)
end
