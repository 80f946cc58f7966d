-- Reads one user's state and raises its stored epoch to ours, so that a zombie's later write is refused.
-- KEYS: profile.  ARGV: 1 epoch, 2 partition, both also packed in 3: epoch u32, offset u64 = 0, partition u32 (big-endian).
-- Returns nil (absent), an integer (fenced: the newer epoch that is stored), or the value as it was before the claim.
-- Numbers are compared, never strings: Lua's string order is strcoll's.
local stored = redis.call('GET', KEYS[1])
if not stored then return false end
if #stored < 24 or string.sub(stored, 1, 4) ~= 'SRNP' then return stored end
local epoch, _, _, partition = struct.unpack('>I4I4I4I4', stored, 9)
local ours = tonumber(ARGV[1])
if partition ~= tonumber(ARGV[2]) then
  redis.call('SETRANGE', KEYS[1], 8, ARGV[3])  -- another partition's offsets mean nothing here: start from 0
elseif epoch > ours then
  return epoch
elseif epoch < ours then
  redis.call('SETRANGE', KEYS[1], 8, string.sub(ARGV[3], 1, 4))  -- SETRANGE keeps the TTL
end
return stored
