-- Sets and clears timers of one partition unless a newer owner has it.
-- KEYS: checkpoint, due.  ARGV: 1 epoch, 2 life ('' = any), then pairs (user, due_ms); an empty due_ms clears.
-- Returns 1 (accepted) or 0 (refused): a newer owner has the partition, or the server is not in the life told, and the states that
-- clearing a timer rests on may have been lost between.
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > tonumber(ARGV[1]) then return 0 end
if ARGV[2] ~= '' and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= ARGV[2] then return 0 end
for at = 3, #ARGV, 2 do
  if ARGV[at + 1] == '' then
    redis.call('ZREM', KEYS[2], ARGV[at])
  else
    redis.call('ZADD', KEYS[2], ARGV[at + 1], ARGV[at])
  end
end
return 1
