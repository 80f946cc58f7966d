-- Sets and clears timers of one partition unless a newer owner has it.
-- KEYS: checkpoint, due.  ARGV: 1 epoch, then pairs (user, due_ms); an empty due_ms clears.  Returns 1 (accepted) or 0 (refused).
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > tonumber(ARGV[1]) then return 0 end
for at = 2, #ARGV, 2 do
  if ARGV[at + 1] == '' then
    redis.call('ZREM', KEYS[2], ARGV[at])
  else
    redis.call('ZADD', KEYS[2], ARGV[at + 1], ARGV[at])
  end
end
return 1
