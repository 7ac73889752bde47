-- May this user do in a script what a node does? Tries each command on keys of its own and undoes what it left.
--
-- KEYS  1 a string   2 a set   3 where the string is renamed to
-- ARGV  1 channel that nobody listens to
-- Reply { {command, the server's words}, ... } for each that was refused; all keys are gone in a second at the latest.

local refused = {}

local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    refused[#refused + 1] = { (select(1, ...)), answer.err }
  end
  return answer
end

try('TIME')
try('SET', KEYS[1], 'doctor', 'PX', '1000')
try('TYPE', KEYS[1])
try('STRLEN', KEYS[1])
try('GET', KEYS[1])
try('RENAME', KEYS[1], KEYS[3])
try('SADD', KEYS[2], 'doctor')
try('PEXPIRE', KEYS[2], '1000')
try('SMEMBERS', KEYS[2])
try('SISMEMBER', KEYS[2], 'doctor')
try('SCARD', KEYS[2])
try('SREM', KEYS[2], 'doctor')
try('UNLINK', KEYS[2])
try('PUBLISH', ARGV[1], 'doctor')
return refused
