-- Records a numbered checkpoint unless a newer owner has the partition, or a newer number of ours is already there.
-- KEYS: checkpoint.  ARGV: 1 epoch, 2 number, 3 next_offset, 4 watermark_ms.  Returns 1 (accepted) or 0 (refused).
local stored = redis.call('HMGET', KEYS[1], 'epoch', 'number')
local epoch, ours = tonumber(stored[1] or '0'), tonumber(ARGV[1])
if epoch > ours then return 0 end
if epoch == ours and tonumber(stored[2] or '0') > tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'number', ARGV[2], 'next_offset', ARGV[3], 'watermark_ms', ARGV[4])
return 1
