-- Limits: charge several counters at once or none, or forget them; and tries to sign in: let one in, renew it, let it go,
-- count it as wrong, or look. One round trip, the server's clock.
-- Oracles: src/rppam/limits/arithmetic.py and tests/access/lockouts/oracle.py, which also say what a text means.
-- Redis 6.2 commands only.
--
-- Limits:
-- KEYS  the counters (strings)
-- ARGV  1 'take' or 'forget'; for take then for each key four words:
--       'w' or 's'   events   microseconds of a slot (w) or between two events (s)   cost
-- Reply take: { 1 or 0, which key is shown, remaining, retry after ms, reset after ms }; forget: 0.
--
-- Tries:
-- KEYS  for each suspect two: the window of wrong tries, and the leases of those under way (strings)
-- ARGV  1 'enter', 'renew', 'leave', 'fail' or 'look'   2 the try's name   3 milliseconds that a lease lasts;
--       then for each suspect two words: events   microseconds of a slot
-- Reply { 1 or 0, then for each suspect: wrong ones, tries under way, ms until the last of those lapses }
--
-- What is not a counter's text counts as none. A key of another type does so as well, and gives way: nobody else has any
-- business below our prefix, and an error would take all limits away for what somebody has done to one.

local counted = 11
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function ms(us)
  return math.ceil(us / 1000)
end

local function text_of(key)
  local text = redis.pcall('GET', key)
  if type(text) == 'table' then
    -- Any other error is raised by asking again.
    if not string.find(text.err, 'WRONGTYPE', 1, true) then return redis.call('GET', key) or '' end
    redis.call('PEXPIRE', key, 0)
    return ''
  end
  return text or ''
end

-- events of each slot that counts, newest first, their sum, and whether the clock was set back since
local function counts_of(text, step)
  local slot, list = string.match(text, '^w(%d+):([%d,]+)$')
  local counts, used = {}, 0
  for at = 1, counted do counts[at] = 0 end
  if not slot or #slot > 15 or string.find(list, ',,', 1, true)
    or string.sub(list, 1, 1) == ',' or string.sub(list, -1) == ',' then
    return counts, 0, false
  end
  local passed = math.floor(now / step) - tonumber(slot)
  local ahead = passed < 0
  passed = math.max(0, passed)
  local found = {}
  for count in string.gmatch(list, '%d+') do
    found[#found + 1] = tonumber(count)
    if #count > 7 or #found > counted then return counts, 0, false end
  end
  for at = 1, #found do
    if at + passed <= counted then
      counts[at + passed] = found[at]
      used = used + found[at]
    end
  end
  return counts, used, ahead
end

local function window_text(counts, step)
  local last = counted
  while counts[last] == 0 do last = last - 1 end
  return string.format('w%.0f:', math.floor(now / step)) .. table.concat(counts, ',', 1, last)
end

-- until the slot at this place of the list counts no more
local function forgotten(at, step)
  return (math.floor(now / step) - (at - 1) + counted) * step - now
end

local function newest_forgotten(counts, step)
  for at = 1, counted do
    if counts[at] > 0 then return forgotten(at, step) end
  end
  return 0
end

local function booked(text, events, step)
  local point = string.match(text, '^s(%d+)$')
  point = point and #point <= 16 and tonumber(point) or now
  local most = now + step * events
  return math.min(math.max(point, now), most), point > most
end

-- fits, remaining, retry after us, reset after us, text after the charge; or, where it does not fit and the clock was
-- set back, the text as of now
local function weigh(shape, text, events, step, cost)
  if shape == 's' then
    local full = step * events
    local point, ahead = booked(text, events, step)
    local before = point - now
    local after = before + cost * step
    if after > full then
      return false, math.floor((full - before) / step), after - full, before,
        ahead and string.format('s%.0f', point) or nil
    end
    return true, math.floor((full - after) / step), 0, after, string.format('s%.0f', now + after)
  end
  local counts, used, ahead = counts_of(text, step)
  local excess = used + cost - events
  if excess > 0 then
    local at = counted + 1
    repeat
      at = at - 1
      excess = excess - counts[at]
    until excess <= 0
    return false, math.max(0, events - used), forgotten(at, step), newest_forgotten(counts, step),
      ahead and window_text(counts, step) or nil
  end
  counts[1] = counts[1] + cost
  return true, -excess, 0, forgotten(1, step), window_text(counts, step)
end

-- the leases of others than `name` that hold now
local function leases_of(text, name, now_ms, ttl)
  local leases = {}
  if #text > 400000 or string.sub(text, 1, 1) ~= 't' then return leases end
  for one in string.gmatch(string.sub(text, 2), '[^,]+') do
    local found, at = string.match(one, '^([0-9a-f]+):(%d+)$')
    if found and #found == 16 and #at <= 15 and found ~= name then
      at = tonumber(at)
      if now_ms < at and at <= now_ms + ttl then leases[#leases + 1] = { found, at } end
    end
  end
  return leases
end

local function tries(verb, name, ttl)
  local now_ms = math.floor(now / 1000)
  local found, allowed = {}, 1
  for at = 1, #KEYS, 2 do
    local events, step = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    local counts, used, ahead = counts_of(text_of(KEYS[at]), step)
    local leases = leases_of(text_of(KEYS[at + 1]), name, now_ms, ttl)
    if verb == 'enter' and used + #leases >= events then allowed = 0 end
    if verb == 'fail' then
      if counts[1] < 9999999 then counts[1], used = counts[1] + 1, used + 1 end
      ahead = true
    end
    if used > 0 and ahead then
      local left = string.format('%.0f', ms(newest_forgotten(counts, step)))
      redis.call('SET', KEYS[at], window_text(counts, step), 'PX', left)
    end
    found[#found + 1] = { KEYS[at + 1], used, leases }
  end
  local reply = { allowed }
  for _, one in ipairs(found) do
    local key, used, leases = one[1], one[2], one[3]
    if verb == 'renew' or verb == 'enter' and allowed == 1 then leases[#leases + 1] = { name, now_ms + ttl } end
    local list, last = {}, now_ms
    for at, lease in ipairs(leases) do
      list[at] = string.format('%s:%.0f', lease[1], lease[2])
      last = math.max(last, lease[2])
    end
    if verb ~= 'look' and allowed == 1 then
      if #list > 0 then
        redis.call('SET', key, 't' .. table.concat(list, ','), 'PX', string.format('%.0f', last - now_ms))
      else
        redis.call('PEXPIRE', key, 0)
      end
    end
    for _, number in ipairs({ used, #leases, last - now_ms }) do reply[#reply + 1] = number end
  end
  return reply
end

if ARGV[1] ~= 'take' and ARGV[1] ~= 'forget' then
  return tries(ARGV[1], ARGV[2], tonumber(ARGV[3]))
end

if ARGV[1] == 'take' then
  local texts, anew, resets, shown, allowed = {}, {}, {}, nil, 1
  for at, key in ipairs(KEYS) do
    local first = at * 4 - 2
    local fits, remaining, retry, reset, text = weigh(
      ARGV[first], text_of(key), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2]),
      tonumber(ARGV[first + 3]))
    if fits then texts[at] = text else anew[at] = text end
    resets[at] = reset
    local better
    if fits then
      better = allowed == 1 and (not shown or remaining < shown[2])
    else
      better = allowed == 1 or retry > shown[3]
      allowed = 0
    end
    if better then shown = { at, remaining, retry, reset } end
  end
  local written = allowed == 1 and texts or anew
  for at, key in ipairs(KEYS) do
    if written[at] then redis.call('SET', key, written[at], 'PX', string.format('%.0f', ms(resets[at]))) end
  end
  return { allowed, shown[1], shown[2], ms(shown[3]), ms(shown[4]) }
end

for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 0) end
return 0
