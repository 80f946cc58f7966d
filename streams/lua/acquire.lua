-- Takes a partition over: a new epoch, above the stored one and not below the floor.
-- KEYS: checkpoint.  ARGV: 1 floor.  Returns {epoch, number, next_offset, watermark_ms}; the last three nil when there is none.
local epoch = math.max(tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') + 1, tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch))
return redis.call('HMGET', KEYS[1], 'epoch', 'number', 'next_offset', 'watermark_ms')
