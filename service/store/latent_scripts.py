"""The Lua scripts that run in the server of the store. `latent_store` passes their keys and arguments.

Each check and the write that depends on it run as one script, because a fill, a purge or an eviction could happen
between two commands.
"""

from __future__ import annotations

# Replace a string that has not changed. Valkey 8.1 has SET ... IFEQ for this, but Redis 7 does not.
# The scripts use pcall, because GET raises an error on a key of another type. Such a key counts as changed.
REPLACE = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if KEYS[2] and redis.pcall('GET', KEYS[2]) ~= ARGV[4] then return 0 end
if ARGV[3] then redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
else redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') end
if KEYS[2] then redis.call('EXPIRE', KEYS[2], ARGV[3], 'GT') end
return 1
"""
TAKE = """
local holder = redis.pcall('GET', KEYS[1])
if type(holder) == 'string' then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""
EXTEND = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
GIVE_BACK = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else redis.call('DEL', KEYS[1]) end
return 1
"""
# In PUT and ADD, ARGV[4] is the string that KEYS[3] must hold (empty: any), and ARGV[5] is its new string (empty: it
# does not change). ARGV[6] is the most strings that the list in KEYS[4] may name, if there is such a list.
PUT = """
if redis.pcall('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[4] ~= '' and redis.pcall('GET', KEYS[3]) ~= ARGV[4] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[5] ~= '' then
  if ARGV[5] == ARGV[4] then redis.call('EXPIRE', KEYS[3], ARGV[3], 'GT')
  else redis.call('SET', KEYS[3], ARGV[5], 'EX', ARGV[3]) end
end
local dropped = 0
if ARGV[6] and redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('LREM', KEYS[4], 0, KEYS[1])
  redis.call('RPUSH', KEYS[4], KEYS[1])
  while redis.call('LLEN', KEYS[4]) > tonumber(ARGV[6]) do
    dropped = dropped + redis.call('DEL', redis.call('LPOP', KEYS[4]))
  end
end
if ARGV[6] and redis.call('TTL', KEYS[4]) < tonumber(ARGV[3]) then redis.call('EXPIRE', KEYS[4], ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1 + dropped
"""
ADD = """
if redis.pcall('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[4] ~= '' and redis.pcall('GET', KEYS[3]) ~= ARGV[4] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[5] ~= '' and ARGV[5] ~= ARGV[4] then
  if not redis.call('SET', KEYS[3], ARGV[5], 'EX', ARGV[3], 'NX') then return 0 end
end
if redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3], 'NX') then return 1 end
return 0
"""
# A full store refuses a SET, but not in a script that has written before. So a DEL comes first: it is never refused.
DELETE = """
local deleted = redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[3], KEYS[1])
return deleted
"""
MARK = """
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[3], KEYS[2])
return 1
"""
