/**
 * Inputs on their way from the decoding thread to the deciding one. Cloning them as objects would cost more than decoding them:
 * transactions travel as columns of numbers and one list of texts, with what recurs (accounts, sources, actors) named by number;
 * everything else, being rare, is cloned.
 */
import type { LedgerInput, TransactionInput } from '#domain/ledger/inputs.ts'
import type { Posting, TransactionCommand } from '#domain/transactions/command.ts'

/** What is posted from thread to thread; the arrays' buffers are transferred. */
export interface PackedInputs {
  readonly count: number
  /** By run of transactions of one partition: place of the first input, number of inputs, partition. */
  readonly runs: readonly {
    readonly at: number
    readonly count: number
    readonly topic: string
    readonly partition: number
  }[]
  /** NUMBERS a transaction; NaN = absent. */
  readonly numbers: Float64Array
  /** NAMES a transaction: places in the dictionary, -1 = absent; then the number of postings. */
  readonly names: Int32Array
  /** POSTING_NAMES a posting. */
  readonly postings: Int32Array
  readonly amounts: BigInt64Array
  /** TEXTS a transaction, each its own: id, key, content. */
  readonly texts: readonly string[]
  /** Rest of a transaction that has one: by place of the input. */
  readonly rests: readonly (readonly [number, TransactionRest])[]
  /** All other inputs, by place. */
  readonly others: readonly (readonly [number, LedgerInput])[]
  /** Names that this message adds to the dictionary; `restart` where it begins anew. */
  readonly dictionary: readonly string[]
  readonly restart: boolean
}

type TransactionRest = Pick<TransactionCommand, 'metadata' | 'after' | 'endToEndId' | 'uetr' | 'parentId'>

const NUMBERS = 5
const NAMES = 10
const POSTING_NAMES = 3
const TEXTS = 3
const DICTIONARY_MAX = 100_000

/** The numbered names of one side. */
export class Packer {
  private places = new Map<string, number>()
  private readonly namesMax: number

  /** @param namesMax names on either side; beyond it the dictionary begins anew */
  constructor(namesMax = DICTIONARY_MAX) {
    this.namesMax = namesMax
  }

  pack(inputs: readonly LedgerInput[]): PackedInputs {
    const restart = this.places.size > this.namesMax
    if (restart) this.places = new Map()
    return new PackingRun(this.places, inputs, restart).packed()
  }
}

class PackingRun {
  private readonly places: Map<string, number>
  private readonly inputs: readonly LedgerInput[]
  private readonly restart: boolean
  private readonly dictionary: string[] = []

  constructor(places: Map<string, number>, inputs: readonly LedgerInput[], restart: boolean) {
    this.places = places
    this.inputs = inputs
    this.restart = restart
  }

  packed(): PackedInputs {
    const { inputs } = this
    let transactions = 0
    let postingCount = 0
    for (const input of inputs) {
      if (input.type !== 'transaction') continue
      transactions += 1
      postingCount += input.command.postings.length
    }
    const numbers = new Float64Array(transactions * NUMBERS)
    const names = new Int32Array(transactions * NAMES)
    const postings = new Int32Array(postingCount * POSTING_NAMES)
    const amounts = new BigInt64Array(postingCount)
    const texts: string[] = []
    const rests: [number, TransactionRest][] = []
    const others: [number, LedgerInput][] = []
    const runs: { at: number; count: number; topic: string; partition: number }[] = []
    let row = 0
    let posting = 0
    for (let at = 0; at < inputs.length; at += 1) {
      const input = inputs[at]!
      if (input.type !== 'transaction') {
        others.push([at, input])
        continue
      }
      const run = runs.at(-1)
      if (run !== undefined && run.at + run.count === at && isOfRun(run, input)) run.count += 1
      else runs.push({ at, count: 1, topic: input.topic, partition: input.partition })
      this.putNumbers(numbers, row * NUMBERS, input)
      this.putNames(names, row * NAMES, input.command)
      texts.push(input.command.id, input.key, input.content)
      if (hasRest(input.command)) rests.push([at, restOf(input.command)])
      for (const each of input.command.postings) {
        postings[posting * POSTING_NAMES] = this.place(each.debit)
        postings[posting * POSTING_NAMES + 1] = this.place(each.credit)
        postings[posting * POSTING_NAMES + 2] = this.place(each.currency)
        amounts[posting] = each.amount
        posting += 1
      }
      row += 1
    }
    const { dictionary, restart } = this
    const count = inputs.length
    return { count, runs, numbers, names, postings, amounts, texts, rests, others, dictionary, restart }
  }

  private putNumbers(numbers: Float64Array, at: number, input: TransactionInput): void {
    numbers[at] = Number(input.offset)
    numbers[at + 1] = input.appendedAtMs
    numbers[at + 2] = input.command.occurredAt
    numbers[at + 3] = input.command.valueTime ?? Number.NaN
    numbers[at + 4] = input.command.expiresAt ?? Number.NaN
  }

  private putNames(names: Int32Array, at: number, command: TransactionCommand): void {
    names[at] = this.place(command.source)
    names[at + 1] = this.place(command.kind)
    names[at + 2] = this.place(command.actor)
    names[at + 3] = this.maybePlace(command.parentSource)
    names[at + 4] = this.maybePlace(command.card)
    names[at + 5] = this.maybePlace(command.merchant)
    names[at + 6] = this.maybePlace(command.terminal)
    names[at + 7] = this.maybePlace(command.device)
    names[at + 8] = this.maybePlace(command.country)
    names[at + 9] = command.postings.length
  }

  private maybePlace(name: string | null): number {
    return name === null ? -1 : this.place(name)
  }

  private place(name: string): number {
    let place = this.places.get(name)
    if (place === undefined) {
      place = this.places.size
      this.places.set(name, place)
      this.dictionary.push(name)
    }
    return place
  }
}

const isOfRun = (run: { topic: string; partition: number }, input: TransactionInput): boolean =>
  run.partition === input.partition && run.topic === input.topic

const NO_METADATA: Readonly<Record<string, string>> = Object.freeze({})

const hasRest = ({ metadata, after, endToEndId, uetr, parentId }: TransactionCommand): boolean => {
  if (after !== null || endToEndId !== null || uetr !== null || parentId !== null) return true
  for (const _ in metadata) return true
  return false
}

const restOf = ({ metadata, after, endToEndId, uetr, parentId }: TransactionCommand): TransactionRest => ({
  metadata: { ...metadata },
  after: after === null ? null : { ...after },
  endToEndId,
  uetr,
  parentId,
})

const NO_REST: TransactionRest = Object.freeze({
  metadata: NO_METADATA,
  after: null,
  endToEndId: null,
  uetr: null,
  parentId: null,
})

/** The buffers that a message hands over. */
export const transferOf = ({ numbers, names, postings, amounts }: PackedInputs): ArrayBuffer[] =>
  [numbers, names, postings, amounts].map(({ buffer }) => buffer as ArrayBuffer)

/** Makes inputs again; for the messages of one packer, in order. */
export class Unpacker {
  private dictionary: string[] = []

  unpack(packed: PackedInputs): LedgerInput[] {
    if (packed.restart) this.dictionary = []
    for (const name of packed.dictionary) this.dictionary.push(name)
    const inputs = new Array<LedgerInput>(packed.count)
    for (const [at, input] of packed.others) inputs[at] = withBuffers(input)
    const rests = new Map(packed.rests)
    let row = 0
    let posting = 0
    for (const { at: first, count, topic, partition } of packed.runs) {
      for (let at = first; at < first + count; at += 1) {
        const postings = this.postingsAt(packed, posting, packed.names[row * NAMES + 9]!)
        posting += postings.length
        inputs[at] = {
          type: 'transaction',
          topic,
          partition,
          offset: BigInt(packed.numbers[row * NUMBERS]!),
          command: this.commandAt(packed, row, postings, rests.get(at) ?? NO_REST),
          appendedAtMs: packed.numbers[row * NUMBERS + 1]!,
          key: packed.texts[row * TEXTS + 1]!,
          content: packed.texts[row * TEXTS + 2]!,
        }
        row += 1
      }
    }
    return inputs
  }

  private commandAt(
    packed: PackedInputs,
    row: number,
    postings: readonly Posting[],
    rest: TransactionRest,
  ): TransactionCommand {
    const { numbers, names } = packed
    const number = row * NUMBERS
    const name = row * NAMES
    // In the order of fields that decoding gives: what is stored as JSON keeps it.
    return {
      id: packed.texts[row * TEXTS]!,
      source: this.name(names[name]!),
      kind: this.name(names[name + 1]!) as TransactionCommand['kind'],
      postings,
      parentId: rest.parentId,
      parentSource: this.maybeName(names[name + 3]!),
      card: this.maybeName(names[name + 4]!),
      merchant: this.maybeName(names[name + 5]!),
      terminal: this.maybeName(names[name + 6]!),
      device: this.maybeName(names[name + 7]!),
      country: this.maybeName(names[name + 8]!),
      endToEndId: rest.endToEndId,
      uetr: rest.uetr,
      valueTime: numberOrNull(numbers[number + 3]!),
      occurredAt: numbers[number + 2]!,
      expiresAt: numberOrNull(numbers[number + 4]!),
      actor: this.name(names[name + 2]!),
      metadata: rest.metadata,
      after: rest.after,
    }
  }

  private postingsAt({ postings, amounts }: PackedInputs, first: number, count: number): Posting[] {
    const made: Posting[] = []
    for (let at = first; at < first + count; at += 1) {
      made.push({
        debit: this.name(postings[at * POSTING_NAMES]!),
        credit: this.name(postings[at * POSTING_NAMES + 1]!),
        amount: amounts[at]!,
        currency: this.name(postings[at * POSTING_NAMES + 2]!),
      })
    }
    return made
  }

  private name(place: number): string {
    return this.dictionary[place]!
  }

  private maybeName(place: number): string | null {
    return place < 0 ? null : this.dictionary[place]!
  }
}

const numberOrNull = (value: number): number | null => (Number.isNaN(value) ? null : value)

/** Cloning makes plain byte arrays of buffers. */
const withBuffers = (input: LedgerInput): LedgerInput => {
  if (input.type !== 'dead') return input
  const { key, value, valueSha256 } = input.letter
  const buffer = (bytes: Uint8Array | null): Buffer | null =>
    bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    ...input,
    letter: { ...input.letter, key: buffer(key), value: buffer(value), valueSha256: buffer(valueSha256)! },
  }
}
