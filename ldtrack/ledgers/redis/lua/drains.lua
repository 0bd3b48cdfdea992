-- A server that has used up its memory refuses a script's first write if that needs some, and no later one.
-- So begins what brings rows out of the ledger, with a write that needs none: only recording is refused then.
redis.call('ZREM', due, '')
