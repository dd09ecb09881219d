-- Bytes into a chunk that no head names yet (a segment of a compaction). Only the owner may: a stale owner's bytes
-- could land in a chunk that the new owner's head already names.
-- Keys 1 head, 2 chunk. Argv 1 token, 2 place, 3 bytes. Returns 'ok' | 'fenced'
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 'fenced' end
redis.call('SETRANGE', KEYS[2], ARGV[2], ARGV[3])
return 'ok'
