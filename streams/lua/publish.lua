-- Publishes a slate and the trace behind it together, unless a newer slate, or this very one, is already there.
-- KEYS: slate, why.  ARGV: 1 packed slate, 2 packed trace ('' = none), 3 TTL in ms.
-- Returns 2 (accepted), 1 (repeated: the same fence, so nothing is written and the TTL runs on) or 0 (refused).
-- The fence (epoch u32, offset u64) is bytes 8 to 19 of every version of the format; the offset is compared as two u32 halves,
-- because a Lua number is exact only up to 2^53, and as numbers, because Lua's string order is strcoll's.
local stored = redis.call('GETRANGE', KEYS[1], 0, 19)
if #stored == 20 and string.sub(stored, 1, 4) == 'SRNS' then
  local epoch, high, low = struct.unpack('>I4I4I4', stored, 9)
  local our_epoch, our_high, our_low = struct.unpack('>I4I4I4', ARGV[1], 9)
  if epoch ~= our_epoch then
    if epoch > our_epoch then return 0 end
  elseif high ~= our_high then
    if high > our_high then return 0 end
  elseif low ~= our_low then
    if low > our_low then return 0 end
  else
    return 1
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
if ARGV[2] == '' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
return 2
