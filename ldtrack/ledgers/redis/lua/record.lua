-- Store the rows that are first, and answer for each. They go into the queue before their claims are
-- written: whatever fails, no claim is left without its events.
-- ARGV: seconds to keep claims, a number that is behind us, whether replicas are waited for, then for each row
-- the number of its run among the keys, its place, its claimant, the head of what is stored, the body.
local last = math.max(tonumber(redis.call('HGET', state, 'stored') or 0), tonumber(ARGV[2]))

local asked = {}
for at = 4, #ARGV, 5 do
  local places = asked[ARGV[at]]
  if places then
    places[#places + 1] = ARGV[at + 1]
  else
    asked[ARGV[at]] = {ARGV[at + 1]}
  end
end
local held, fresh = {}, {}
for run, places in pairs(asked) do
  local holders, of = redis.call('HMGET', KEYS[5 + run], unpack(places)), {}
  for at = 1, #places do
    of[places[at]] = holders[at]
  end
  held[run], fresh[run] = of, {}
end

local answers, is_changed = {}, false
for at = 4, #ARGV, 5 do
  local run, place, claimant = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local holders = held[run]
  if not holders[place] then
    last, is_changed = last + 1, true
    redis.call('XADD', queue, string.format('%d-0', last), 'm', ARGV[at + 3], 'b', ARGV[at + 4])
    holders[place] = claimant
    local pairs_of = fresh[run]
    pairs_of[#pairs_of + 1] = place
    pairs_of[#pairs_of + 1] = claimant
  end
  answers[#answers + 1] = holders[place] == claimant and '1' or '0'
end

-- From Redis 7.2 and in Valkey, WAIT waits for what its own connection has written. What an earlier try has
-- stored on another one is waited for as well if something is written behind it.
if is_changed or ARGV[3] == '1' then
  redis.call('HSET', state, 'stored', string.format('%d', last))
end
for run, pairs_of in pairs(fresh) do
  if #pairs_of > 0 then
    redis.call('HSET', KEYS[5 + run], unpack(pairs_of))
    redis.call('EXPIRE', KEYS[5 + run], ARGV[1])
  end
end
return {table.concat(answers), last}
