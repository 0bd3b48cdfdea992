"""What the server itself does for a ledger, in Lua: one script for each call of a store.

Rule for this file: texts and where their keys live. A script is one atomic step, touches only the keys it was
given, all of one shard and so of one slot, and tells the time by the server's clock. Nothing here is newer
than Redis 6.2.

A shard of a ledger named ``ldtrack`` has these keys, and one more for each run:

- ``{ldtrack:0}:queue``: a stream of the rows that are not delivered yet, numbered by ourselves.
- ``{ldtrack:0}:batches``: a hash from a batch's number to a JSON object that says which range of the queue it
  is, under which payload id, and who has it on loan.
- ``{ldtrack:0}:due``: the same numbers, sorted by the moment from which anybody may take the batch.
- ``{ldtrack:0}:aside``: a stream of the rows that were refused, with the reason.
- ``{ldtrack:0}:state``: a hash of numbers: rows stored, rows batched, batches made, rows delivered.
- ``{ldtrack:0}:run:…``: a hash from a run's places to who claimed them. It expires.

The queue is a stream but has no consumer group. A group remembers who got which row, row by row, and
``XAUTOCLAIM`` hands rows over one by one; that they were posted together, under one payload id, would be
known to nobody. Here a batch is a range of the stream: leasing, taking over and splitting write a few bytes
and move no row, each row is written once to the append-only file and deleted once, and the head of the stream
is the oldest row that waits, leased or not.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Final

import attrs

__all__ = [
    "ASIDE",
    "DELIVERED",
    "DISCARD_ASIDE",
    "LEASE",
    "OPEN",
    "POSTPONE",
    "RECORD",
    "RETRY_ASIDE",
    "SET_ASIDE",
    "SPLIT",
    "STANDING",
    "Script",
    "Shard",
    "shard_of",
]


@attrs.frozen
class Shard:
    """A part of a ledger whose keys all live on one server, because they share a hash tag."""

    number: int
    tag: str
    keys: tuple[str, ...] = attrs.field(repr=False)

    @classmethod
    def of(cls, name: str, number: int) -> Shard:
        """The shard with that number of the ledger with that name."""
        tag = f"{{{name}:{number}}}"
        return cls(
            number, tag, tuple(f"{tag}:{key}" for key in ("queue", "aside", "batches", "due", "state"))
        )

    @property
    def state(self) -> str:
        """The key of the shard's numbers."""
        return self.keys[4]

    def run(self, run_id: str) -> str:
        """The key of a run's claims."""
        return f"{self.tag}:run:{run_id}"


def shard_of(run_id: str, shards: int) -> int:
    """Which shard a run belongs to, for good: on every host, in every version."""
    return zlib.crc32(run_id.encode("utf-8", "surrogatepass")) % shards if shards > 1 else 0


@attrs.frozen
class Script:
    """A text, and the digest by which the server knows it."""

    text: str = attrs.field(repr=False)
    sha: str

    @classmethod
    def of(cls, *parts: str) -> Script:
        """The script that consists of these parts, after the names of the keys."""
        text = "".join(("local queue, aside, batches, due, state = unpack(KEYS, 1, 5)\n", *parts))
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# A server that has used up its memory refuses a script's first write if that needs some, and no later one. So
# begins what brings rows out of the ledger, with a write that needs none: only recording is refused then.
_DRAINS: Final = """
redis.call('ZREM', due, '')
"""

_CLOCK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# The batches before this one mostly are gone by then, so it is the head of the stream: that is cut off in
# whole nodes. Only behind a batch that still waits its rows are deleted one by one.
_DROP: Final = """
local function number(id)
  return tonumber(string.match(id, '^%d+'))
end

local function drop(batch)
  local head = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
  if not head or number(head[1]) > number(batch.last) then
    return 0
  end
  if number(head[1]) >= number(batch.first) then
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
"""

_LOAN: Final = """
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
"""

OPEN: Final = Script.of(
    """
local told = redis.call('HMGET', state, 'shards', 'layout')
if told[1] then
  return told
end
redis.call('HSET', state, 'shards', ARGV[1], 'layout', ARGV[2])
return {ARGV[1], ARGV[2]}
"""
)
"""Agree on the layout and the number of shards: with another, claims would be sought in the wrong shard."""

RECORD: Final = Script.of(
    """
-- ARGV: seconds to keep claims, a number that is behind us, then for each row the number of its run among the
-- keys, its place, its claimant, the head of what is stored, the body.
local last = math.max(tonumber(redis.call('HGET', state, 'stored') or 0), tonumber(ARGV[2]))
redis.call('XLEN', queue) -- a key of a wrong type is noticed while nothing has changed

local asked = {}
for at = 3, #ARGV, 5 do
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
for at = 3, #ARGV, 5 do
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

if is_changed then
  redis.call('HSET', state, 'stored', string.format('%d', last))
end
for run, pairs_of in pairs(fresh) do
  if #pairs_of > 0 then
    redis.call('HSET', KEYS[5 + run], unpack(pairs_of))
    redis.call('EXPIRE', KEYS[5 + run], ARGV[1])
  end
end
return {table.concat(answers), last}
"""
)
"""Store the rows that are first, and answer for each.

Rows go into the queue before their claims are written: whatever fails, no claim is left without its events.
"""

LEASE: Final = Script.of(
    _DRAINS,
    _CLOCK,
    _LOAN,
    """
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
  if string.find(body, '[\\128-\\255]') then
    local _, inner = string.gsub(body, '[\\128-\\191]', '')
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
""",
)

DELIVERED: Final = Script.of(
    _DRAINS,
    _DROP,
    """
-- ARGV: the batch's number.
local batch = redis.call('HGET', batches, ARGV[1])
if batch then
  redis.call('HINCRBY', state, 'delivered', drop(cjson.decode(batch)))
  forget(ARGV[1])
end
""",
)

POSTPONE: Final = Script.of(
    _DRAINS,
    _CLOCK,
    _LOAN,
    """
-- ARGV: the batch's number, owner, milliseconds.
local batch = redis.call('HGET', batches, ARGV[1])
batch = batch and cjson.decode(batch)
if batch and batch.owner == ARGV[2] and ARGV[2] ~= '' then
  lend(ARGV[1], batch, '', tonumber(ARGV[3]))
end
""",
)

SPLIT: Final = Script.of(
    _DRAINS,
    _CLOCK,
    _LOAN,
    """
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
""",
)

SET_ASIDE: Final = Script.of(
    _DRAINS,
    _CLOCK,
    _DROP,
    """
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
""",
)

RETRY_ASIDE: Final = Script.of(
    _DRAINS,
    """
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
""",
)

ASIDE: Final = Script.of(
    """
-- ARGV: most rows.
local told = {}
for _, row in ipairs(redis.call('XRANGE', aside, '-', '+', 'COUNT', ARGV[1])) do
  told[#told + 1] = {row[2][2], row[2][4], row[2][6], row[2][8]}
end
return told
"""
)

DISCARD_ASIDE: Final = Script.of(
    """
local rows = redis.call('XLEN', aside)
redis.call('UNLINK', aside)
return rows
"""
)

STANDING: Final = Script.of(
    """
local head = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
local counts = redis.call('HMGET', state, 'delivered', 'stored')
return {
  redis.call('XLEN', queue), redis.call('XLEN', aside),
  tonumber(counts[1] or 0), tonumber(counts[2] or 0),
  head and head[1] or false, head and head[2][2] or false,
}
"""
)
