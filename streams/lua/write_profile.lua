-- Stores one user's state unless a newer owner or a newer offset is already there.
-- KEYS: profile.  ARGV: 1 value with its header, 2 TTL in ms.  Returns 1 (accepted) or 0 (refused).
-- The u64 offset is compared as two u32 halves, because a Lua number is exact only up to 2^53.
local stored = redis.call('GETRANGE', KEYS[1], 0, 23)
if #stored == 24 and string.sub(stored, 1, 4) == 'SRNP' then
  local epoch, high, low, partition = struct.unpack('>I4I4I4I4', stored, 9)
  local our_epoch, our_high, our_low, our_partition = struct.unpack('>I4I4I4I4', ARGV[1], 9)
  if partition ~= our_partition or epoch > our_epoch then return 0 end
  if epoch == our_epoch and (high > our_high or (high == our_high and low > our_low)) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
