-- Who has a batch on loan, until when, and what they are told of it.
local function lend(id, batch, owner, wait)
  batch.owner, batch.wait = owner, wait
  redis.call('HSET', batches, id, cjson.encode(batch))
  redis.call('ZADD', due, now + wait, id)
end

local function reply(id, batch, rows)
  local told = {id, batch.payload, batch.attempts}
  for _, row in ipairs(rows) do
    told[#told + 1] = row[2][2]
    told[#told + 1] = row[2][4]
  end
  return told
end
