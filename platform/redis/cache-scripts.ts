/**
 * The scripts of the balance cache. Each runs alone in Redis, so a check and what follows from it can't be torn apart.
 * All of them name the generation they were meant for and do nothing in another one: a script that was cut off by a time-out and
 * runs late, after its sender went on with a new generation, can't do harm.
 */
import type { RedisClient } from '#platform/redis/client.ts'

/** Versions are compared as decimal text: Lua's numbers are exact only to 2^53. */
const FUNCTIONS = `
local function compare(a, b)
  if #a ~= #b then return #a - #b end
  if a == b then return 0 end
  if a < b then return -1 end
  return 1
end
local function version(text)
  return string.match(text, '^(%d+)|(%d+)|')
end
local function older(timeline, sequence, otherTimeline, otherSequence)
  local byTimeline = compare(timeline, otherTimeline)
  if byTimeline ~= 0 then return byTimeline < 0 end
  return compare(sequence, otherSequence) < 0
end
local function valueOlder(value, timeline, sequence)
  local t, s = version(value)
  return t == nil or older(t, s, timeline, sequence)
end
local function leaseParts(lease)
  return string.match(lease, '^([^|]*)|(%d+)|(%d+)$')
end
`

/**
 * The publisher's write. KEYS: state, fresh, then balance and lease of each row. ARGV: generation, sequence that must have been
 * applied before, sequence and time of this batch, life of the mark and of balances (ms), '1' on the batch's last part, rows.
 * Only balances that are there and older are replaced; where there is none, a lease is ended: its holder may have read too early.
 */
const APPLY = `${FUNCTIONS}
local state = redis.call('GET', KEYS[1])
if not state then return {'gap', ''} end
local generation, applied, recordedAt = string.match(state, '^([^|]+)|(%d+)|(%d+)$')
if generation ~= ARGV[1] then return {'generation', state} end
if compare(applied, ARGV[2]) < 0 then return {'gap', state} end
local updated = 0
for i = 8, #ARGV do
  local key = KEYS[2 * (i - 8) + 3]
  local value = redis.call('GET', key)
  if not value then
    redis.call('DEL', KEYS[2 * (i - 8) + 4])
  elseif valueOlder(value, version(ARGV[i])) then
    redis.call('SET', key, ARGV[i], 'PX', ARGV[6])
    updated = updated + 1
  end
end
if ARGV[7] == '1' then
  if compare(ARGV[3], applied) > 0 then
    redis.call('SET', KEYS[1], ARGV[1] .. '|' .. ARGV[3] .. '|' .. ARGV[4])
  end
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5])
end
return {'ok', tostring(updated)}
`

/**
 * A new generation. KEYS: state, fresh. ARGV: generation, its timeline, sequence and time, life of the mark (ms; 0 = set none),
 * '1' to keep the sequence and time of a state of the same timeline. Refused where the state belongs to a later timeline.
 */
const RENEW = `${FUNCTIONS}
local state = redis.call('GET', KEYS[1])
local sequence, recordedAt = ARGV[3], ARGV[4]
if state then
  local timeline, applied, time = string.match(state, '^(%d+)%-[^|]*|(%d+)|(%d+)$')
  if timeline and compare(timeline, ARGV[2]) > 0 then return {'superseded', state} end
  if timeline == ARGV[2] and ARGV[6] == '1' then sequence, recordedAt = applied, time end
end
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. sequence .. '|' .. recordedAt)
if ARGV[5] ~= '0' then redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5]) else redis.call('DEL', KEYS[2]) end
return {'ok', ''}
`

/**
 * A reader's word on what Postgres says now. KEYS: state, then balance and lease of each row. ARGV: generation, the reader's token
 * ('' = it holds no lease), life of balances (ms), rows. An older balance is replaced; a missing one is planted under the reader's
 * own lease; somebody else's lease learns that nothing older than this may be planted any more. Where another generation began
 * after the reader's look, its fillers must learn of it too: the script names it, to be run again there.
 */
const SETTLE = `${FUNCTIONS}
local state = redis.call('GET', KEYS[1])
if not state then return {'none', ''} end
if string.match(state, '^([^|]+)|') ~= ARGV[1] then return {'generation', state} end
local planted = 0
for i = 4, #ARGV do
  local key, leaseKey = KEYS[2 * (i - 4) + 2], KEYS[2 * (i - 4) + 3]
  local timeline, sequence = version(ARGV[i])
  local value = redis.call('GET', key)
  if value then
    if valueOlder(value, timeline, sequence) then redis.call('SET', key, ARGV[i], 'PX', ARGV[3]) end
  else
    local lease = redis.call('GET', leaseKey)
    if lease then
      local token, floorTimeline, floorSequence = leaseParts(lease)
      if token == ARGV[2] then
        if not older(timeline, sequence, floorTimeline, floorSequence) then
          redis.call('SET', key, ARGV[i], 'PX', ARGV[3])
          planted = planted + 1
        end
        redis.call('DEL', leaseKey)
      elseif older(floorTimeline, floorSequence, timeline, sequence) then
        redis.call('SET', leaseKey, token .. '|' .. timeline .. '|' .. sequence, 'KEEPTTL')
      end
    end
  end
end
return {'ok', tostring(planted)}
`

/**
 * Takes away what is known to be outdated. KEYS: state, then balance and lease of each account. ARGV: generation, timeline and
 * sequence below which a balance of these accounts isn't the newest.
 */
const EXPIRE_OLDER = `${FUNCTIONS}
local state = redis.call('GET', KEYS[1])
if not state then return {'none', ''} end
if string.match(state, '^([^|]+)|') ~= ARGV[1] then return {'generation', state} end
local removed = 0
for i = 2, #KEYS, 2 do
  local value = redis.call('GET', KEYS[i])
  if value then
    if valueOlder(value, ARGV[2], ARGV[3]) then removed = removed + redis.call('DEL', KEYS[i]) end
  else
    local lease = redis.call('GET', KEYS[i + 1])
    if lease then
      local token, floorTimeline, floorSequence = leaseParts(lease)
      if older(floorTimeline, floorSequence, ARGV[2], ARGV[3]) then
        redis.call('SET', KEYS[i + 1], token .. '|' .. ARGV[2] .. '|' .. ARGV[3], 'KEEPTTL')
      end
    end
  end
end
return {'ok', tostring(removed)}
`

const SCRIPTS = {
  balanceApply: APPLY,
  balanceRenew: RENEW,
  balanceSettle: SETTLE,
  balanceExpireOlder: EXPIRE_OLDER,
} as const

type Script = keyof typeof SCRIPTS

/**
 * Runs one of the cache's scripts, by its hash where Redis knows it already.
 *
 * @returns a word (`ok`, `none`: no state, `generation`: another one is valid, `gap`, `superseded`) and a count or the state.
 */
export async function runCacheScript(
  client: RedisClient,
  script: Script,
  keys: readonly string[],
  values: readonly string[],
): Promise<[word: string, text: string]> {
  if (!(script in client)) {
    for (const [name, lua] of Object.entries(SCRIPTS)) client.defineCommand(name, { lua })
  }
  const commands = client as unknown as Record<Script, (...values: (string | number)[]) => Promise<unknown>>
  return (await commands[script](keys.length, ...keys, ...values)) as [string, string]
}
