/**
 * A ledger's whole state after a batch, in a file, so that a later replay need not begin at the beginning.
 *
 * `<ledger>-<sequence, 15 digits>.checkpoint.zst`: zstd over JSON lines (UTF-8). The first line is {"checkpoint": 1, …} with the head:
 * ledger, sequence, chain (hash of that batch), tick, pendingTicks, expiring, logic, rulesVersion, rules, horizons, positions. Each
 * other line is an array that begins with its kind: account, card, payment, label, party, hold, command, letter, id (see the encoders below); the last one is
 * ["end", number of lines before it]. 64-bit numbers are decimal strings, hashes hexadecimal, profiles base64.
 * `….checkpoint.json` beside it says {ledger, sequence, chain, sha256}: SHA-256 of the uncompressed lines.
 *
 * A checkpoint is believed only where its SHA-256, its chain hash and its balances agree with what is stored: see auditing.ts.
 */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createZstdCompress, createZstdDecompress } from 'node:zlib'
import { encodeParty, type PartyKind, type PartyState, storedParty } from '#domain/fraud/parties.ts'
import { decodeProfile, encodeProfile } from '#domain/fraud/profile.ts'
import type { AccountState, CardState, HoldState, LabelledPayment } from '#domain/ledger/state.ts'
import { LOGIC_VERSION } from '#domain/ledger/state.ts'
import { pendingTicksJson, restoreTicks } from '#domain/time/pending-ticks.ts'
import { OperatingError } from '#platform/errors.ts'
import { type HoldRow, holdOfRow, ruleOfRow, toJson } from '#platform/postgres/ledger-store/json-rows.ts'
import { LedgerMemory } from './ledger-memory.ts'
import type { RememberedTransaction } from './transaction-memory.ts'

export interface CheckpointName {
  readonly ledger: string
  readonly sequence: string
  /** Hash of the batch that it is as of, hexadecimal. */
  readonly chain: string
  /** Of the uncompressed lines, hexadecimal. */
  readonly sha256: string
}

const FORMAT = 1
const LINES_AT_ONCE = 1_000

const baseName = (ledger: string, sequence: bigint): string =>
  `${ledger}-${String(sequence).padStart(15, '0')}.checkpoint`

/** Writes what the ledger is after its last batch. @param chain hash of that batch @returns where it is */
export const writeCheckpoint = async (
  folder: string,
  ledger: string,
  memory: LedgerMemory,
  chain: Buffer,
): Promise<string> => {
  await mkdir(folder, { recursive: true })
  const base = join(folder, baseName(ledger, memory.sequence))
  const hash = createHash('sha256')
  const lines = Readable.from(blocksOf(linesOf(ledger, memory, chain), (block) => hash.update(block)))
  // Under another name until it is whole.
  await pipeline(lines, createZstdCompress(), createWriteStream(`${base}.part`))
  await rename(`${base}.part`, `${base}.zst`)
  const name: CheckpointName = {
    ledger,
    sequence: String(memory.sequence),
    chain: chain.toString('hex'),
    sha256: hash.digest('hex'),
  }
  await writeFile(`${base}.json`, `${JSON.stringify(name, null, 2)}\n`)
  return `${base}.zst`
}

/** The checkpoints of a folder, latest first; none where there is no such folder. */
export const listCheckpoints = async (folder: string, ledger: string): Promise<CheckpointName[]> => {
  const files = await readdir(folder).catch((error: unknown) => {
    if ((error as { code?: unknown }).code === 'ENOENT') return []
    throw error
  })
  const names = await Promise.all(
    files
      .filter((file) => file.startsWith(`${ledger}-`) && file.endsWith('.checkpoint.json'))
      .map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8')) as CheckpointName),
  )
  return names
    .filter((name) => name.ledger === ledger)
    .sort((a, b) => (BigInt(a.sequence) < BigInt(b.sequence) ? 1 : -1))
}

/** Reads one back. @throws OperatingError `checkpoint_damaged` where it isn't what was written */
export const readCheckpoint = async (folder: string, name: CheckpointName): Promise<LedgerMemory> => {
  const file = `${join(folder, baseName(name.ledger, BigInt(name.sequence)))}.zst`
  const damaged = (why: string, cause?: unknown): OperatingError =>
    new OperatingError('checkpoint_damaged', `${file}: ${why}`, { cause })
  try {
    const hash = createHash('sha256')
    const unpacked = createZstdDecompress()
    createReadStream(file)
      .on('error', (error) => unpacked.destroy(error))
      .pipe(unpacked)
    const memory = await memoryOf(unpacked, (line) => hash.update(`${line}\n`))
    if (hash.digest('hex') !== name.sha256) throw damaged('its SHA-256 is another one')
    if (String(memory.sequence) !== name.sequence) throw damaged(`it is of batch ${memory.sequence}`)
    return memory
  } catch (error) {
    if (error instanceof OperatingError) throw error
    throw damaged(error instanceof Error ? error.message : String(error), error)
  }
}

function* blocksOf(lines: Iterable<string>, onBlock: (block: string) => void): Generator<string> {
  let block: string[] = []
  const take = (): string => {
    const text = block.join('')
    onBlock(text)
    block = []
    return text
  }
  for (const line of lines) {
    block.push(`${line}\n`)
    if (block.length === LINES_AT_ONCE) yield take()
  }
  if (block.length > 0) yield take()
}

function* linesOf(ledger: string, memory: LedgerMemory, chain: Buffer): Generator<string> {
  let count = 0
  const line = (value: unknown): string => {
    count += 1
    return toJson(value)
  }
  yield line(headOf(ledger, memory, chain))
  for (const account of memory.accountsInOrder()) yield line(['account', encodeAccount(account)])
  for (const card of memory.cards.values()) yield line(['card', { ...card }])
  for (const [key, payment] of memory.payments) yield line(['payment', key, payment])
  for (const [key, isFraud] of memory.labels) yield line(['label', key, isFraud])
  for (const party of memory.parties.values()) yield line(['party', ...encodedParty(party)])
  for (const hold of memory.holds.values()) yield line(['hold', encodeHold(hold)])
  for (const [id, { content }] of memory.commands) yield line(['command', id, content])
  for (const [name, status] of memory.deadLetters) yield line(['letter', name, status])
  for (const entry of memory.transactions.entries()) yield line(['id', ...encodeId(entry)])
  yield toJson(['end', count])
}

const headOf = (ledger: string, memory: LedgerMemory, chain: Buffer): unknown => ({
  checkpoint: FORMAT,
  ledger,
  sequence: memory.sequence,
  chain: chain.toString('hex'),
  tick: memory.time.nowMs,
  pendingTicks: pendingTicksJson(memory.time),
  expiring: memory.expiring,
  logic: LOGIC_VERSION,
  rulesVersion: memory.rulesVersion,
  rules: memory.rules,
  horizons: memory.horizons,
  positions: Object.fromEntries(
    [...memory.positions].map(([cluster, positions]) => [cluster, Object.fromEntries(positions)]),
  ),
})

const memoryOf = async (
  input: NodeJS.ReadableStream,
  onLine: (line: string) => void,
): Promise<LedgerMemory> => {
  let memory: LedgerMemory | null = null
  let count = 0
  let isWhole = false
  for await (const line of linesIn(input)) {
    onLine(line)
    const value: unknown = JSON.parse(line)
    if (memory === null) memory = memoryOfHead(value as Plain)
    else if ((value as unknown[])[0] === 'end') isWhole = (value as unknown[])[1] === count
    else restore(memory, value as readonly [string, ...unknown[]])
    count += 1
  }
  if (memory === null || !isWhole) throw new Error('it is cut')
  return memory
}

/** Split at LF alone: the readline module would also split at separators that a JSON text may hold. */
async function* linesIn(input: NodeJS.ReadableStream): AsyncGenerator<string> {
  input.setEncoding('utf8')
  let rest = ''
  for await (const chunk of input) {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop()!
    yield* lines
  }
  if (rest !== '') yield rest
}

const memoryOfHead = (head: Plain): LedgerMemory => {
  if (head.checkpoint !== FORMAT)
    throw new Error(`expected format ${FORMAT}, found ${String(head.checkpoint)}`)
  if (head.logic !== LOGIC_VERSION) throw new Error(`it was made by logic version ${String(head.logic)}`)
  const memory = new LedgerMemory(head.tick as number)
  memory.time = restoreTicks(head.tick as number, head.pendingTicks)
  memory.sequence = BigInt(head.sequence as string)
  memory.expiring = head.expiring as boolean
  memory.rulesVersion = BigInt(head.rulesVersion as string)
  memory.rules = (head.rules as { version: string }[]).map((rule) => ruleOfRow(BigInt(rule.version), rule))
  memory.horizons = head.horizons as LedgerMemory['horizons']
  const positions = head.positions as Record<string, Record<string, string>>
  for (const [cluster, offsets] of Object.entries(positions)) {
    for (const [name, next] of Object.entries(offsets)) memory.positionsOf(cluster).set(name, BigInt(next))
  }
  return memory
}

const restore = (memory: LedgerMemory, [kind, ...fields]: readonly [string, ...unknown[]]): void => {
  switch (kind) {
    case 'account':
      memory.restoreAccount(decodeAccount(fields[0] as Plain))
      break
    case 'card':
      memory.restoreCard(decodeCard(fields[0] as Plain))
      break
    case 'payment':
      memory.payments.set(fields[0] as string, fields[1] as LabelledPayment)
      break
    case 'label':
      memory.labels.set(fields[0] as string, fields[1] as boolean)
      break
    case 'party':
      memory.restoreParty(decodedParty(fields as unknown as EncodedParty))
      break
    case 'hold':
      memory.restoreHold(holdOfRow({ ...BEFORE_REVIEWERS, ...(fields[0] as HoldRow) }))
      break
    case 'command':
      memory.commands.set(fields[0] as string, { content: fields[1] as string })
      break
    case 'letter':
      memory.deadLetters.set(fields[0] as string, fields[1] as 'open')
      break
    case 'id':
      memory.transactions.restore(decodeId(fields as unknown as EncodedId))
      break
    default:
      throw new Error(`a line of unknown kind ${kind}`)
  }
}

const encodeAccount = (account: AccountState): unknown => {
  const { profile, referenceChanged: _reference, profileChanged: _profile, ...rest } = account
  return { ...rest, profile: profile === null ? null : encodeProfile(profile).toString('base64') }
}

type Plain = Record<string, unknown>

const decodeAccount = (account: Plain): AccountState => ({
  ...(account as unknown as AccountState),
  openedSequence: BigInt(account.openedSequence as string),
  overdraftLimit: BigInt(account.overdraftLimit as string),
  posted: BigInt(account.posted as string),
  reserved: BigInt(account.reserved as string),
  version: BigInt(account.version as string),
  referenceChanged: false,
  profile: account.profile === null ? null : decodeProfile(Buffer.from(account.profile as string, 'base64')),
  profileChanged: false,
})

const maybeBigint = (value: unknown): bigint | null => (value === null ? null : BigInt(value as string))

const decodeCard = (card: Plain): CardState => ({
  ...(card as unknown as CardState),
  isNew: false,
  transactionLimit: maybeBigint(card.transactionLimit),
  dailyLimit: maybeBigint(card.dailyLimit),
  spent: BigInt(card.spent as string),
  reserved: BigInt(card.reserved as string),
  dayAmount: BigInt(card.dayAmount as string),
  version: BigInt(card.version as string),
})

/** Kind, name, day of its last use, version, state. */
type EncodedParty = readonly [PartyKind, string, number, string, string]

const encodedParty = (party: PartyState): EncodedParty => [
  party.kind,
  party.name,
  party.usedDay,
  String(party.version),
  encodeParty(party).toString('base64'),
]

const decodedParty = ([kind, name, usedDay, version, state]: EncodedParty): PartyState =>
  storedParty({ kind, name }, { usedDay, version: BigInt(version), bytes: Buffer.from(state, 'base64') })

/** What holds were before checkpoints said it. */
const BEFORE_REVIEWERS = { priority: 0, reviewers: 1, released_by: null } as const

const encodeHold = (hold: HoldState): unknown => ({
  key: hold.key,
  kind: hold.kind,
  status: hold.status,
  id: hold.id,
  source: hold.source,
  sequence: hold.sequence,
  index: hold.index,
  expires_at_ms: hold.expiresAt,
  postings: hold.postings,
  command: hold.command,
  version: hold.version,
  version_index: hold.versionIndex,
  priority: hold.priority,
  reviewers: hold.reviewers,
  released_by: hold.releasedBy,
})

/** Ids are most of a checkpoint: key, content, taken at, posted as, closed hold, card number, postings as [debit, credit, amount, reversed]. */
type EncodedId = readonly [
  string,
  string,
  number,
  RememberedTransaction['posted'],
  RememberedTransaction['closedHold'],
  number | null,
  readonly (readonly [number, number, string, string])[],
]

const encodeId = (entry: RememberedTransaction): EncodedId => [
  entry.key,
  entry.content,
  entry.takenAtMs,
  entry.posted,
  entry.closedHold,
  entry.cardNo,
  entry.postings.map((p) => [p.debitNo, p.creditNo, String(p.amount), String(p.reversed)] as const),
]

const decodeId = (fields: EncodedId): RememberedTransaction => {
  const [key, content, takenAtMs, posted, closedHold, cardNo, postings] = fields
  const remembered = postings.map(([debitNo, creditNo, amount, reversed]) => ({
    debitNo,
    creditNo,
    amount: BigInt(amount),
    reversed: BigInt(reversed),
  }))
  return { key, content, takenAtMs, posted, closedHold, cardNo, postings: remembered }
}
