-- A new owner takes a partition: from here on every other token is refused by checkpoint.lua.
--
-- Keys     1 head (see checkpoint.lua)
-- Argv     1 token, 2 generation of the new owner's catalogue
-- Returns  {'ok', body or false} | {'newer', generation}: a worker with an older catalogue would fold differently
local generation = redis.call('HGET', KEYS[1], 'generation')
if generation and tonumber(generation) > tonumber(ARGV[2]) then return {'newer', generation} end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
return {'ok', redis.call('HGET', KEYS[1], 'body')}
