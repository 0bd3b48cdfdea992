-- Take over a batch that nobody has on loan any more, or make one of the oldest rows that are in none.
-- ARGV: owner, most rows, most characters, milliseconds, payload id.
local owner, most, room, wait = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local function waiting()
  local ready = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 1)[1]
  if ready then
    return ready
  end
  -- The clock was set back if a loan ends later than one that begins now, or a pause later than it is long.
  -- By a second, clocks of servers that replace one another may differ.
  local latest = string.format('(%d', now + wait + 1000)
  local late = redis.call('ZREVRANGEBYSCORE', due, '+inf', latest, 'WITHSCORES', 'LIMIT', 0, 16)
  for at = 1, #late, 2 do
    local batch = cjson.decode(redis.call('HGET', batches, late[at]))
    if batch.owner ~= '' or tonumber(late[at + 1]) > now + batch.wait + 1000 then
      return late[at]
    end
  end
end

local function characters(body)
  if string.find(body, '[\128-\255]') then
    local _, inner = string.gsub(body, '[\128-\191]', '')
    return #body - inner
  end
  return #body
end

local function gather()
  local rows, size = {}, 0
  local last = redis.call('HGET', state, 'batched') or '0-0'
  while #rows < most do
    local wanted = math.min(most - #rows, 100)
    local part = redis.call('XRANGE', queue, '(' .. last, '+', 'COUNT', wanted)
    for _, row in ipairs(part) do
      size = size + characters(row[2][4])
      if #rows > 0 and size > room then
        return rows
      end
      rows[#rows + 1] = row
      last = row[1]
    end
    if #part < wanted then
      return rows
    end
  end
  return rows
end

local id = waiting()
if id then
  local batch = cjson.decode(redis.call('HGET', batches, id))
  batch.attempts = batch.attempts + 1
  lend(id, batch, owner, wait)
  return reply(id, batch, redis.call('XRANGE', queue, batch.first, batch.last))
end
local rows = gather()
if #rows == 0 then
  return false
end
local batch = {first = rows[1][1], last = rows[#rows][1], payload = ARGV[5], attempts = 0}
id = tostring(redis.call('HINCRBY', state, 'batches', 1))
redis.call('HSET', state, 'batched', batch.last)
lend(id, batch, owner, wait)
return reply(id, batch, rows)
