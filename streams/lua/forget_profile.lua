-- Deletes one user's state up to an offset, unless a newer owner or another partition has it.
-- KEYS: profile.  ARGV: 1 epoch u32, offset u64, partition u32, packed (big-endian).
-- Returns 1 (gone, or only newer things are there) or 0 (refused). Bytes that are no state of ours go, too.
local stored = redis.call('GETRANGE', KEYS[1], 0, 23)
if #stored == 24 and string.sub(stored, 1, 4) == 'SRNP' then
  local epoch, high, low, partition = struct.unpack('>I4I4I4I4', stored, 9)
  local our_epoch, our_high, our_low, our_partition = struct.unpack('>I4I4I4I4', ARGV[1])
  if partition ~= our_partition or epoch > our_epoch then return 0 end
  if high > our_high or (high == our_high and low > our_low) then return 1 end
end
redis.call('DEL', KEYS[1])
return 1
