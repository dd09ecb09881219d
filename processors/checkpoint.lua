-- The checkpoint of one partition, all or nothing. Every key shares the hash tag {topic-id/partition}: one slot.
--
-- Keys     1            head: a hash of token, offset, generation and body (the packed head, with the manifest)
--          2..1+W       chunks to write: state:N (frames of partials), seq:N (frames of the numbers of sources),
--                       ids:HOUR:PIECE and adm:HOUR:PIECE (16-byte digests, of events in time and of admitted ones)
--          2+W..        chunks that nothing names any more
-- Argv     1 token      the owner's; set by claim.lua, and by nobody else
--          2 expected   the offset that must be in the head; '' for none yet
--          3 offset     the new one
--          4 generation of the owner's catalogue
--          5 body       the new packed head
--          6 W, 7 limit number of chunks to write, bytes that one chunk may reach
--          8..          for each chunk: committed length, bytes
-- Returns  'ok' | 'fenced' | 'moved:OFFSET' | 'damaged:KEY' | 'full:KEY'
--
-- Nothing is written before every check has passed. If the script fails half way (out of memory), the head still
-- names the old lengths: bytes behind them were never committed, and the next checkpoint writes over them.
local head = redis.call('HMGET', KEYS[1], 'token', 'offset')
if head[1] ~= ARGV[1] then return 'fenced' end
if (head[2] or '') ~= ARGV[2] then return 'moved:' .. (head[2] or '') end
local writes, limit = tonumber(ARGV[6]), tonumber(ARGV[7])
for i = 1, writes do
  local at, data = tonumber(ARGV[6 + 2 * i]), ARGV[7 + 2 * i]
  if redis.call('STRLEN', KEYS[1 + i]) < at then return 'damaged:' .. KEYS[1 + i] end
  if at + #data > limit then return 'full:' .. KEYS[1 + i] end
end
for i = 1, writes do
  redis.call('SETRANGE', KEYS[1 + i], ARGV[6 + 2 * i], ARGV[7 + 2 * i])
end
redis.call('HSET', KEYS[1], 'offset', ARGV[3], 'generation', ARGV[4], 'body', ARGV[5])
-- Only now: a failure above must leave the old head with all that it names.
for i = 2 + writes, #KEYS do redis.call('DEL', KEYS[i]) end
return 'ok'
