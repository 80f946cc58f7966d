-- Charges tokens to a tenant's budget, which fills up again with time; it may fall below nothing, and is then owed.
-- KEYS: budget.  ARGV: 1 tokens a second, 2 most that is saved up, 3 tokens spent.  Returns the tokens that are left (negative: owed).
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local rate, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'left', 'at_ms')
local left, at_ms = tonumber(known[1] or most), tonumber(known[2] or now_ms)
left = math.min(most, left + math.max(0, now_ms - at_ms) * rate / 1000) - tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'left', string.format('%.3f', left), 'at_ms', now_ms)
redis.call('PEXPIRE', KEYS[1], math.ceil((most - left) * 1000 / rate) + 60000)
return math.floor(left)
