-- A rate limit as a leaky bucket that is kept as one point in time (GCRA).
-- KEYS[1]: the bucket. ARGV: requests per period, period in ms, burst. Reply: {1 or 0, ms to wait}. Time: the server's.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local step = ARGV[2] / ARGV[1]
local due = tonumber(redis.call('GET', KEYS[1]) or now)
if due < now then due = now end
local early = due - step * (ARGV[3] - 1) - now
if early > 0 then return {0, math.ceil(early)} end
redis.call('SET', KEYS[1], due + step, 'PX', math.ceil(due + step - now) + 1)
return {1, 0}
