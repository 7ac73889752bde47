-- Puts a sealed copy, unless a later one stands there, or one of the same revision that still holds.
--
-- KEYS  1 copy (string)
-- ARGV  1 copy; it begins with '1' and its revision in 15 digits   2 time to live, ms
--       3 longest value that is one, bytes                         4 a value that could not be opened, or ''
--       5 so long before the end of its time to live a copy ends; from then on it only keeps older ones away, ms
-- Reply 1 put, 0 not.
-- What cannot be a copy (another type, too long, no revision, or just what ARGV 4 says) gives way.

local function revision(text)
  return string.match(text, '^1%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d') and tonumber(string.sub(text, 2, 16))
end

local size = redis.pcall('STRLEN', KEYS[1])
if type(size) == 'number' and size > 0 and size <= tonumber(ARGV[3]) then
  local stands = redis.call('GET', KEYS[1])
  local known = stands ~= ARGV[4] and revision(stands)
  local comes = revision(ARGV[1])
  if known and (known > comes or known == comes and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[5])) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
