-- Deletes a slate and its trace up to a fence. A newer slate stays.
-- KEYS: slate, why.  ARGV: 1 epoch u32, offset u64, packed (big-endian).  Returns how many values went.
local stored = redis.call('GETRANGE', KEYS[1], 0, 19)
if #stored == 20 and string.sub(stored, 1, 4) == 'SRNS' then
  local epoch, high, low = struct.unpack('>I4I4I4', stored, 9)
  local our_epoch, our_high, our_low = struct.unpack('>I4I4I4', ARGV[1])
  if epoch > our_epoch then return 0 end
  if epoch == our_epoch and (high > our_high or (high == our_high and low > our_low)) then return 0 end
end
return redis.call('DEL', KEYS[1], KEYS[2])
