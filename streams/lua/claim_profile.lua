-- Reads one user's state and raises its stored epoch to ours, so that a zombie's later write is refused. For a user without a
-- state the claim itself is stored: a header that says so.
-- KEYS: profile.  ARGV: 1 epoch, 2 partition, both also packed in 3: epoch u32, offset u64 = 0, partition u32 (big-endian),
-- 4 TTL in ms of a claim without a state.
-- Returns nil (no state), an integer (fenced: the newer epoch that is stored), or the value as it was before the claim.
-- Numbers are compared, never strings: Lua's string order is strcoll's.
local stored = redis.call('GET', KEYS[1])
if not stored then
  redis.call('SET', KEYS[1], 'SRNP\0\1\0\1' .. ARGV[3], 'PX', ARGV[4])
  return false
end
if #stored < 24 or string.sub(stored, 1, 4) ~= 'SRNP' then return stored end
local claimed_only, epoch, _, _, partition = struct.unpack('>I2I4I4I4I4', stored, 7)
local ours = tonumber(ARGV[1])
if partition ~= tonumber(ARGV[2]) then
  redis.call('SETRANGE', KEYS[1], 8, ARGV[3])  -- another partition's offsets mean nothing here: start from 0
elseif epoch > ours then
  return epoch
elseif epoch < ours then
  redis.call('SETRANGE', KEYS[1], 8, string.sub(ARGV[3], 1, 4))  -- SETRANGE keeps the TTL
end
if claimed_only == 1 then return false end
return stored
