-- Records a numbered checkpoint unless a newer owner has the partition, or a newer number of ours is already there.
-- KEYS: checkpoint.  ARGV: 1 epoch, 2 number, 3 life ('' = any), 4 next_offset, 5 watermark_ms, 6 next_attribute,
-- 7 next_answer.
-- Returns 1 (accepted), 0 (refused), or the server's life where it is not the one told: then nothing is recorded, because what
-- this checkpoint rests on may have been lost between.
local stored = redis.call('HMGET', KEYS[1], 'epoch', 'number')
local epoch, ours = tonumber(stored[1] or '0'), tonumber(ARGV[1])
if epoch > ours then return 0 end
if epoch == ours and tonumber(stored[2] or '0') > tonumber(ARGV[2]) then return 0 end
if ARGV[3] ~= '' then
  local life = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  if life ~= ARGV[3] then return life end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'number', ARGV[2], 'next_offset', ARGV[4], 'watermark_ms', ARGV[5],
  'next_attribute', ARGV[6], 'next_answer', ARGV[7])
return 1
