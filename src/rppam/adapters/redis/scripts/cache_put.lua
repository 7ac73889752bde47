-- Puts a sealed copy, unless one of the same or a later revision stands there.
--
-- KEYS  1 copy (string)
-- ARGV  1 copy; it begins with '1' and its revision in 15 digits   2 time to live, ms
--       3 longest value that is one, bytes                         4 a value that could not be opened, or ''
-- Reply 1 put, 0 the same or a later revision stands there.
-- What cannot be a copy (another type, too long, no revision, or just what ARGV 4 says) gives way.

local function revision(text)
  return string.match(text, '^1%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d') and tonumber(string.sub(text, 2, 16))
end

local size = redis.pcall('STRLEN', KEYS[1])
if type(size) == 'number' and size > 0 and size <= tonumber(ARGV[3]) then
  local stands = redis.call('GET', KEYS[1])
  local known = stands ~= ARGV[4] and revision(stands)
  if known and known >= revision(ARGV[1]) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
