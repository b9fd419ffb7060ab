/** Cases that are accepted: payments, deposits, authorizations with what follows them, reversals, exchanges. */
import type { Posting, TransactionCommand } from '#domain/transactions/command.ts'
import type { Market } from './population.ts'
import type { GeneratedRecord } from './records.ts'
import type { Workshop } from './workshop.ts'

/** Emits one or more records, some of them perhaps later. */
export type Case = (workshop: Workshop, name: string) => void

const DAY_MS = 86_400_000
/** Payments made outside of the payer's country. */
const ABROAD_SHARE = 0.03

/** An ordinary payment between customers, not yet given out. */
export function transferOf(workshop: Workshop, market = workshop.market()): TransactionCommand {
  const payer = workshop.payer(market)
  const payee = workshop.payee(market, payer)
  const amount = workshop.amount(market)
  return workshop.command({
    postings: [workshop.posting(market, payer.account, payee.account, amount)],
    device: workshop.random.chance(0.6) ? payer.device : null,
    endToEndId: workshop.random.chance(0.2) ? `E2E-${workshop.random.hex(12)}` : null,
  })
}

/** An ordinary payment at a merchant, by card where the payer has one, not yet given out. */
export function purchaseOf(workshop: Workshop, market = workshop.market()): TransactionCommand {
  const { random } = workshop
  const payer = workshop.payer(market)
  const merchant = market.merchants[market.merchantRank.draw(random)]!
  return workshop.command({
    postings: [workshop.posting(market, payer.account, merchant.account, workshop.amount(market))],
    card: payer.card,
    merchant: merchant.merchant,
    terminal: random.pick(merchant.terminals),
    device: payer.card === null ? payer.device : null,
    country: random.chance(ABROAD_SHARE) ? random.pick(['FR', 'TH', 'BR', 'MX']) : market.country,
    metadata: random.chance(0.1) ? { basket: random.hex(8) } : {},
  })
}

/** Counts what the payers need and gives the record out. */
export function emitAccepted(
  workshop: Workshop,
  name: string,
  command: TransactionCommand,
  options: { readonly intended?: GeneratedRecord['intended']; readonly isParent?: boolean } = {},
): GeneratedRecord {
  for (const posting of command.postings) workshop.spend(posting.debit, posting.amount)
  return workshop.emit(name, command, { intended: 'applied', ...options })
}

const transfer: Case = (workshop, name) => {
  emitAccepted(workshop, name, transferOf(workshop))
}

const purchase: Case = (workshop, name) => {
  emitAccepted(workshop, name, purchaseOf(workshop))
}

/** A payer to several payees and the fee, all or nothing. */
const multiPosting: Case = (workshop, name) => {
  const { random } = workshop
  const market = workshop.market()
  const payer = workshop.payer(market)
  const count = random.integer(2, random.chance(0.05) ? 40 : 5)
  const postings: Posting[] = []
  for (let index = 0; index < count; index += 1) {
    const payee = workshop.payee(market, payer)
    postings.push(workshop.posting(market, payer.account, payee.account, workshop.amount(market, count + 1)))
  }
  postings.push(workshop.posting(market, payer.account, market.fee, 1n))
  emitAccepted(workshop, name, workshop.command({ postings }))
}

const deposit: Case = (workshop, name) => {
  const market = workshop.market()
  const customer = workshop.random.pick(market.customers)
  const amount = workshop.amount(market) * 10n
  const postings = [workshop.posting(market, market.external, customer.account, amount)]
  const uetr = workshop.random.uuid()
  // Keyed by the customer: the external account would put every deposit into one partition.
  workshop.emit(name, workshop.command({ postings, uetr }), { intended: 'applied', key: customer.account })
}

const withdrawal: Case = (workshop, name) => {
  const market = workshop.market()
  const customer = workshop.payer(market)
  const postings = [workshop.posting(market, customer.account, market.external, workshop.amount(market))]
  emitAccepted(workshop, name, workshop.command({ postings, uetr: workshop.random.uuid() }))
}

/** Two currencies, each balanced by its position account. */
const exchange: Case = (workshop, name) => {
  const from = workshop.market()
  const others = workshop.options.markets.filter((market) => market !== from)
  const to = workshop.random.pick(others)
  const payer = workshop.payer(from)
  const payee = workshop.random.pick(to.customers)
  const sold = workshop.amount(from)
  const bought = workshop.dollars(to, Number(sold) / from.minorPerDollar)
  const command = workshop.command({
    kind: 'exchange',
    postings: [
      workshop.posting(from, payer.account, from.position, sold),
      workshop.posting(to, to.position, payee.account, bought),
    ],
  })
  workshop.spend(payer.account, sold)
  workshop.emit(name, command, { intended: 'applied' })
}

/** Event time long ago: history may be imported at any time. */
const lateEvent: Case = (workshop, name) => {
  const ago = workshop.random.integer(45, 400) * DAY_MS
  const command = { ...transferOf(workshop), occurredAt: workshop.options.endTimeMs - ago }
  emitAccepted(workshop, name, command)
}

/** A purchase that is authorized first. @returns the record, which later ones may name as their parent */
export function emitAuthorization(workshop: Workshop, name: string): GeneratedRecord {
  const command: TransactionCommand = { ...purchaseOf(workshop), kind: 'authorize' }
  return emitAccepted(workshop, name, command, { intended: 'authorized', isParent: true })
}

/** A record about an earlier one, under the same key. Without postings it means all that is left. */
export function childOf(
  workshop: Workshop,
  parent: GeneratedRecord,
  kind: 'capture' | 'void' | 'reverse',
  amount?: bigint,
): TransactionCommand {
  const [first] = parent.command.postings
  const postings = amount === undefined ? [] : [{ ...first!, amount }]
  return workshop.command({ kind, parentId: parent.command.id, postings })
}

/** Authorize, then: capture all; capture parts; capture a part and void the rest; void; or leave it open. */
const authorization: Case = (workshop, name) => {
  const parent = emitAuthorization(workshop, name)
  const { amount } = parent.command.postings[0]!
  const part = workshop.partOf(amount)
  const follow = (kind: 'capture' | 'void', partial: bigint | undefined, next?: () => void) =>
    workshop.later(() => {
      const intended = kind === 'void' ? 'voided' : 'applied'
      workshop.emit(name, childOf(workshop, parent, kind, partial), { intended, key: parent.key })
      next?.()
    })
  const drawn = workshop.random.unit()
  if (drawn < 0.5) follow('capture', workshop.random.chance(0.5) ? amount : undefined)
  else if (drawn < 0.7) follow('capture', part, () => follow('capture', undefined))
  else if (drawn < 0.8) follow('capture', part, () => follow('void', undefined))
  else if (drawn < 0.9) follow('void', undefined)
}

/** A posted purchase that reversals refer to. The payee may have to give it back before anybody else paid: counted as needed. */
export function emitReversible(workshop: Workshop, name: string, market?: Market): GeneratedRecord {
  const record = emitAccepted(workshop, name, purchaseOf(workshop, market), { isParent: true })
  const { credit, amount } = record.command.postings[0]!
  workshop.spend(credit, amount)
  return record
}

/** A purchase given back, in one go or in two parts. */
const reversal: Case = (workshop, name) => {
  const parent = emitReversible(workshop, name)
  const { amount } = parent.command.postings[0]!
  const give = (partial: bigint | undefined, next?: () => void) =>
    workshop.later(() => {
      const options = { intended: 'applied', key: parent.key } as const
      workshop.emit(name, childOf(workshop, parent, 'reverse', partial), options)
      next?.()
    })
  if (workshop.random.chance(0.6)) give(undefined)
  else give(workshop.partOf(amount), () => give(undefined))
}

/** Accepted cases and how many of a deck of a thousand they are; the bad cases take the rest. */
export const GOOD_CASES: Readonly<Record<string, { readonly make: Case; readonly weight: number }>> = {
  purchase: { make: purchase, weight: 360 },
  multi_posting: { make: multiPosting, weight: 45 },
  deposit: { make: deposit, weight: 50 },
  withdrawal: { make: withdrawal, weight: 30 },
  exchange: { make: exchange, weight: 25 },
  authorization: { make: authorization, weight: 90 },
  reversal: { make: reversal, weight: 25 },
  late_event: { make: lateEvent, weight: 5 },
  // Fills the deck up to a thousand.
  transfer: { make: transfer, weight: 0 },
}
