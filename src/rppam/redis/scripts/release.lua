-- The last word of a node whose control process died: mark its own record as released.
--
-- KEYS  1 record (string)
-- ARGV  1 channel for releases   2 time to live of the record, ms (garbage collection, never a permission)
--       3, 4  a record that it may hold, and what to write in its place; and so on in pairs
-- Reply 1 released, 0 when something else stands there. Changes nothing but exactly such a record; never makes one.

local stands = redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GET', KEYS[1])
for place = 3, #ARGV, 2 do
  if stands and stands == ARGV[place] then
    redis.call('SET', KEYS[1], ARGV[place + 1], 'PX', ARGV[2])
    redis.call('PUBLISH', ARGV[1], ARGV[place + 1])
    return 1
  end
end
return 0
