-- One round trip of a node: the leadership record, its own heartbeat, and everybody's.
-- Oracle: rppam/cluster/consensus/exchange.py (record part). Redis 6.2 commands only.
--
-- KEYS  1 record (string)   2 own heartbeat (string)   3 members (set)   4 leavers (set)
-- ARGV  1 expected record, or ''     2 proposed record, or '' to read
--       3 mark left where no record is; the server's time is appended to its nonce
--       4 own heartbeat, or '' to publish none     5 its time to live, ms
--       6 own name, or '' to register nobody       7 '1' when leaving
--       8 prefix of heartbeat keys                 9 channel for releases, or ''
--       10 time to live of the record, ms (garbage collection, never a permission)
--       last: names that are read first whatever is listed, separated by spaces
-- Reply { granted 0|1, was absent 0|1, record, what was moved aside or '', own heartbeat before or '',
--         {name, heartbeat or '', ...}, server time ms }
-- A node that left is no member any more, and is shown with its last heartbeat until that expires, so that everybody
-- reads its goodbye. A name that no node can have is taken off the list. A list of more names than any cluster has nodes
-- is emptied, but for those that the last argument names: whoever lives lists itself again with its next exchange. So
-- the work is bounded, whatever somebody else writes there.
-- What is not ours is renamed and expires there after a day; of each key the newest is kept.
-- SCARD and UNLINK may be refused to a user that was made for an earlier release: then it is as it was there.
-- Time source: TIME, for people, and to make each mark one of its kind.

local time = redis.call('TIME')
local longest_heartbeat = 4096
local longest_name = 63
local most_names = 256

local function remove(key)
  return type(redis.pcall('UNLINK', key)) == 'number'
end

local function move_aside(key, held)
  local aside = key .. ':moved-aside'
  remove(aside) -- RENAME would remove it as well, and the server would wait for it
  redis.call('RENAME', key, aside)
  redis.call('PEXPIRE', aside, 86400000)
  return key .. ' held ' .. held .. ', now ' .. aside
end

local function typed(key, wanted)
  local found = redis.call('TYPE', key).ok
  if found == 'none' or found == wanted then
    return found, ''
  end
  return 'none', move_aside(key, 'a ' .. found)
end

local function heartbeat_at(key)
  if redis.call('TYPE', key).ok ~= 'string' or redis.call('STRLEN', key) > longest_heartbeat then
    return ''
  end
  return redis.call('GET', key)
end

local function number_ok(text, longest)
  return #text <= longest and (text == '0' or string.match(text, '^[1-9]%d*$') ~= nil)
end

local function is_record(text)
  local state, holder, boot, epoch, seq, nonce =
    string.match(text, '^rppam1 (%l+) ([a-z0-9%-]+) ([0-9a-f]+) (%d+) (%d+) ([0-9a-f]+)$')
  return state ~= nil
    and (state == 'held' or state == 'released' or state == 'vacant')
    and #holder <= 63 and #boot == 16
    and number_ok(epoch, 15) and number_ok(seq, 15)
    and #nonce >= 8 and #nonce <= 32
end

local record, moved = typed(KEYS[1], 'string')
local stands = record == 'string' and redis.call('GET', KEYS[1]) or false
if stands and not is_record(stands) then
  moved = move_aside(KEYS[1], 'text that is not a record')
  stands = false
end

local granted, absent = 0, 0
if not stands then
  absent = 1
  -- stamped, so that the same request carried out twice never leaves the same mark twice
  stands = ARGV[3] .. string.format('%08x%05x', time[1], time[2])
  redis.call('SET', KEYS[1], stands, 'PX', ARGV[10])
elseif ARGV[2] ~= '' and stands == ARGV[1] then
  granted = 1
  stands = ARGV[2]
  redis.call('SET', KEYS[1], stands, 'PX', ARGV[10])
  if ARGV[9] ~= '' and string.sub(stands, 1, 16) == 'rppam1 released ' then
    redis.call('PUBLISH', ARGV[9], stands)
  end
end

local beat, odd = typed(KEYS[2], 'string')
local before = beat == 'string' and heartbeat_at(KEYS[2]) or ''
if beat == 'string' and string.sub(before, 1, 1) ~= '{' then
  odd, before = move_aside(KEYS[2], 'text that is not a heartbeat'), ''
end
if odd ~= '' then moved = odd end
for place = 3, 4 do
  local _, strange = typed(KEYS[place], 'set')
  if strange ~= '' then moved = strange end
end
if ARGV[4] ~= '' then
  redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
end
if ARGV[6] ~= '' then
  local joins, quits = KEYS[3], KEYS[4]
  if ARGV[7] == '1' then joins, quits = quits, joins end
  redis.call('SADD', joins, ARGV[6])
  redis.call('SREM', quits, ARGV[6])
end

local first = {}
for name in string.gmatch(ARGV[#ARGV], '%S+') do
  first[#first + 1] = name
end

local function is_listed(key, name)
  return redis.call('SISMEMBER', key, name) == 1
end

local function is_name(text)
  return #text <= longest_name and string.match(text, '^[a-z0-9][a-z0-9%-]*$') ~= nil
end

-- The names in a set, of which there are never more than most_names.
local function names_in(key)
  local count = redis.pcall('SCARD', key)
  if type(count) == 'number' and count > most_names then
    local kept = {}
    for _, name in ipairs(first) do
      if is_listed(key, name) then kept[#kept + 1] = name end
    end
    moved = key .. ' listed more names than any cluster has nodes and was emptied; living nodes list themselves again. '
      .. 'See who else may write it: ACL LIST. Names: ' .. count
    if not remove(key) then move_aside(key, 'too many names') end
    if #kept > 0 then redis.call('SADD', key, unpack(kept)) end
    return kept
  end
  local names, odd_names = {}, {}
  for _, name in ipairs(redis.call('SMEMBERS', key)) do
    if is_name(name) then names[#names + 1] = name else odd_names[#odd_names + 1] = name end
  end
  for _, name in ipairs(odd_names) do redis.call('SREM', key, name) end
  if #odd_names > 0 then
    moved = key .. ' listed names that no node can have; they were removed. See who else may write it: ACL LIST. '
      .. 'Names: ' .. #odd_names
  end
  return names
end

local members, is_shown = {}, {}
local function show(name, beat)
  if not is_shown[name] then
    is_shown[name] = true
    members[#members + 1] = name
    members[#members + 1] = beat
  end
end

local names = names_in(KEYS[3])
for _, name in ipairs(first) do
  local beat = heartbeat_at(ARGV[8] .. name)
  if beat ~= '' or is_listed(KEYS[3], name) then show(name, beat) end
end
for _, name in ipairs(names) do
  if not is_shown[name] then show(name, heartbeat_at(ARGV[8] .. name)) end
end
for _, name in ipairs(names_in(KEYS[4])) do
  local last = heartbeat_at(ARGV[8] .. name)
  if last == '' or is_listed(KEYS[3], name) then
    redis.call('SREM', KEYS[4], name)
  else
    show(name, last)
  end
end

return { granted, absent, stands, moved, before, members, time[1] * 1000 + math.floor(time[2] / 1000) }
