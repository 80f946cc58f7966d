-- Tells the life of the server that holds a partition: its run id, another one after every start and on every replica.
-- KEYS: checkpoint.  ARGV: none.
return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
