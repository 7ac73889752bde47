-- Reads one sealed copy, with the time that it still holds, in one round trip.
--
-- KEYS  1 copy (string)
-- ARGV  1 longest value that is one, bytes
-- Reply nil: there is none.   {value, ms that are left, or less than 0 for no end}
--       'type' or 'size': what stands there cannot be a copy, and is not read.
-- Changes nothing.

local size = redis.pcall('STRLEN', KEYS[1])
if type(size) ~= 'number' then
  return 'type'
end
if size == 0 then
  return false
end
if size > tonumber(ARGV[1]) then
  return 'size'
end
return { redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]) }
