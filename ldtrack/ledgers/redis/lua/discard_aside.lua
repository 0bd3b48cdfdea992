-- Delete the rows that were refused.
local rows = redis.call('XLEN', aside)
redis.call('UNLINK', aside)
return rows
