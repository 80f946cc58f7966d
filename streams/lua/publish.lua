-- Publishes a slate and the trace behind it together, unless a newer slate, or this very one, is already there.
-- KEYS: slate, why.  ARGV: 1 packed slate, 2 packed trace ('' = none), 3 TTL in ms, 4 '1': a last resort, which replaces nothing.
-- Returns 2 (accepted), 3 (accepted, over a slate that was past its soft expiry when ours was published), 1 (repeated: the same
-- fence, so nothing is written and the TTL runs on), 0 (refused) or 4 (kept: the older one stays, since ours is a last resort).
-- The fence (epoch u32, offset u64) is bytes 8 to 19 of every version of the format; the offset is compared as two u32 halves,
-- because a Lua number is exact only up to 2^53, and as numbers, because Lua's string order is strcoll's.
local accepted = 2
local stored = redis.call('GETRANGE', KEYS[1], 0, 43)
if #stored >= 20 and string.sub(stored, 1, 4) == 'SRNS' then
  local epoch, high, low = struct.unpack('>I4I4I4', stored, 9)
  local our_epoch, our_high, our_low = struct.unpack('>I4I4I4', ARGV[1], 9)
  if epoch ~= our_epoch then
    if epoch > our_epoch then return 0 end
    -- A new owner asks again what its predecessor asked and did not store: what it asks first may be older than what is there.
    -- Of two owners' slates the one of the later event time is the newer one (version 1 alone: u64 at 20, below 2^53).
    if #stored >= 28 and #ARGV[1] >= 28 and string.sub(stored, 5, 6) == '\0\1' and string.sub(ARGV[1], 5, 6) == '\0\1' then
      local then_high, then_low = struct.unpack('>I4I4', stored, 21)
      local ours_high, ours_low = struct.unpack('>I4I4', ARGV[1], 21)
      if then_high > ours_high or (then_high == ours_high and then_low > ours_low) then return 0 end
    end
  elseif high ~= our_high then
    if high > our_high then return 0 end
  elseif low ~= our_low then
    if low > our_low then return 0 end
  else
    return 1
  end
  -- Version 1 alone: published at is u64 at 28, soft expiry u64 at 36; both are below 2^53.
  if #stored == 44 and #ARGV[1] >= 44 and string.sub(stored, 5, 6) == '\0\1' and string.sub(ARGV[1], 5, 6) == '\0\1' then
    local now_high, now_low = struct.unpack('>I4I4', ARGV[1], 29)
    local soft_high, soft_low = struct.unpack('>I4I4', stored, 37)
    if soft_high < now_high or (soft_high == now_high and soft_low <= now_low) then accepted = 3 end
  end
end
if ARGV[4] == '1' and #stored > 0 then return 4 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
if ARGV[2] == '' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
return accepted
