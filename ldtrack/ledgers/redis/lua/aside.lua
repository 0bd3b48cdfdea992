-- Show those that were refused.
-- ARGV: most rows.
local told = {}
for _, row in ipairs(redis.call('XRANGE', aside, '-', '+', 'COUNT', ARGV[1])) do
  told[#told + 1] = {row[2][2], row[2][4], row[2][6], row[2][8]}
end
return told
