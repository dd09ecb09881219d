-- Forget a damaged checkpoint, so that its owner rebuilds it from the log.
-- Keys 1 head, 2.. the chunks it names. Argv 1 token. Returns 'ok' | 'fenced'
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 'fenced' end
redis.call('HDEL', KEYS[1], 'offset', 'generation', 'body')
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
return 'ok'
