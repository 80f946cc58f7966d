-- Takes a partition over: a new epoch, above the stored one and not below the floor.
-- KEYS: checkpoint.  ARGV: 1 floor.
-- Returns {epoch, number, next_offset, watermark_ms, next_attribute, next_answer, life}; those between the first and the last are
-- nil when there is none. `life` is the server's run id: another one at a later write tells that it may have lost what was acknowledged.
local life = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
local epoch = math.max(tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') + 1, tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch))
local found = redis.call('HMGET', KEYS[1], 'epoch', 'number', 'next_offset', 'watermark_ms', 'next_attribute',
  'next_answer')
found[7] = life
return found
