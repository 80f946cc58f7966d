-- Notes where a redriven record came to lie, or only that it was sent.
-- KEYS: the origin's.  ARGV: 1 TTL in ms, 2 'NX' (only where nothing is noted) or '', 3 the offset, or 'sent'.  Returns 1.
if ARGV[2] == 'NX' then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[1], 'NX')
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[1])
end
return 1
