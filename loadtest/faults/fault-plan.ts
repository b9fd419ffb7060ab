/** Which faults a run meets, in which order: all from the seed. When each comes is "when the one before is overcome", plus a pause. */
import type { SeededRandom } from './seeded-random.ts'

/** Who is hit: a process that owns partitions, or the one that holds the publisher's lease. Each process may be both. */
export type Role = 'processor' | 'publisher'
export type Service = 'broker' | 'registry' | 'postgres' | 'redis'
/** The network between the engine and a service. */
export type Link = 'kafka' | 'postgres' | 'redis'

/** Moments at which a process is killed or its connection cut, to the message. */
export const CRASH_WINDOWS = [
  'before commit',
  'commit sent, reply lost',
  'committed, not published',
  'publishing, transaction half done',
  'published, reply lost',
] as const
export type CrashWindow = (typeof CRASH_WINDOWS)[number]

export const SCENARIOS = ['database restored', 'topic made anew', 'position passed by retention'] as const
/** On a ledger of its own, since its incident is for good; the run goes on meanwhile. */
export type Scenario = (typeof SCENARIOS)[number]

export type Fault =
  | { readonly kind: 'kill' | 'stop' | 'zombie'; readonly role: Role }
  | { readonly kind: 'end sessions' }
  | { readonly kind: 'kill service'; readonly service: Service; readonly downMs: number }
  | {
      readonly kind: 'cut' | 'stall' | 'delay'
      readonly link: Link
      readonly forMs: number
      readonly everywhere: boolean
    }
  | { readonly kind: 'crash window'; readonly window: CrashWindow; readonly by: 'kill' | 'cut' }
  | { readonly kind: 'zombie with the head' }
  | { readonly kind: 'late Redis write'; readonly flush: boolean; readonly by: 'kill' | 'cut' }
  | { readonly kind: 'side ledger'; readonly scenario: Scenario }

export interface PlannedFault {
  readonly fault: Fault
  /** How long until a new process takes a dead one's place, ms. */
  readonly replaceAfterMs: number
  /** Between the recovery from the fault before and this one, ms. */
  readonly pauseMs: number
  /** Meets a system that is still busy with the fault before. */
  readonly overlaps: boolean
}

const REPLACE_WITHIN_MS = 1_000
const PAUSE_MAX_MS = 500
/** Of 100 faults. */
const OVERLAPPING_SHARE = 10

/** Every kind once. The first that a plan holds, in an order of the seed's choice: a short run meets each of them. */
const onceEach = (random: SeededRandom): Fault[] => [
  { kind: 'kill', role: 'processor' },
  { kind: 'zombie', role: random.below(2) === 0 ? 'processor' : 'publisher' },
  { kind: 'stop', role: 'processor' },
  { kind: 'kill service', service: 'broker', downMs: random.below(1_000) },
  { kind: 'kill service', service: 'postgres', downMs: random.below(1_000) },
  { kind: 'kill service', service: 'redis', downMs: random.below(2_000) },
  { kind: 'kill service', service: 'registry', downMs: random.below(1_000) },
  networkFault('cut', random),
  networkFault('stall', random),
  ...CRASH_WINDOWS.map((window): Fault => ({ kind: 'crash window', window, by: either(random) })),
  { kind: 'zombie with the head' },
  { kind: 'late Redis write', flush: false, by: either(random) },
  { kind: 'late Redis write', flush: true, by: either(random) },
  ...SCENARIOS.map((scenario): Fault => ({ kind: 'side ledger', scenario })),
]

const either = (random: SeededRandom): 'kill' | 'cut' => (random.below(2) === 0 ? 'kill' : 'cut')

const networkFault = (kind: 'cut' | 'stall' | 'delay', random: SeededRandom): Fault => {
  const links: readonly Link[] = ['kafka', 'postgres', 'redis']
  return {
    kind,
    link: links[random.below(links.length)]!,
    forMs: 500 + random.below(2_500),
    everywhere: random.below(3) === 0,
  }
}

const SERVICES: readonly Service[] = ['broker', 'registry', 'postgres', 'redis']

/** One of many, for long runs: half of them hit a process, so that takeovers are measured often. */
const anyFault = (random: SeededRandom): Fault => {
  const role: Role = random.below(2) === 0 ? 'processor' : 'publisher'
  const choice = random.below(100)
  if (choice < 22) return { kind: 'kill', role }
  if (choice < 32) return { kind: 'zombie', role }
  if (choice < 38) return { kind: 'stop', role }
  if (choice < 42) return { kind: 'end sessions' }
  if (choice < 50) {
    const service = SERVICES[random.below(SERVICES.length)]!
    return { kind: 'kill service', service, downMs: random.below(2_000) }
  }
  if (choice < 57) return networkFault('cut', random)
  if (choice < 62) return networkFault('stall', random)
  if (choice < 66) return networkFault('delay', random)
  if (choice < 86) {
    const window = CRASH_WINDOWS[random.below(CRASH_WINDOWS.length)]!
    return { kind: 'crash window', window, by: either(random) }
  }
  if (choice < 93) return { kind: 'zombie with the head' }
  if (choice < 98) return { kind: 'late Redis write', flush: random.below(2) === 0, by: either(random) }
  return { kind: 'side ledger', scenario: SCENARIOS[random.below(SCENARIOS.length)]! }
}

export const FAULT_KINDS = [
  'kill',
  'stop',
  'zombie',
  'end sessions',
  'kill service',
  'cut',
  'stall',
  'delay',
  'crash window',
  'zombie with the head',
  'late Redis write',
  'side ledger',
] as const satisfies readonly Fault['kind'][]

/**
 * @param count how many; from 20 on every kind is among them
 * @param only kinds to choose from, for whoever looks into one of them; all unless told
 */
export const planFaults = (
  count: number,
  random: SeededRandom,
  only: readonly Fault['kind'][] = FAULT_KINDS,
): PlannedFault[] => {
  const isWanted = ({ kind }: Fault) => only.includes(kind)
  const faults = shuffled(onceEach(random), random).filter(isWanted).slice(0, count)
  while (faults.length < count) {
    const fault = anyFault(random)
    if (isWanted(fault)) faults.push(fault)
  }
  return scenariosEarly(shuffled(faults, random), random).map((fault, place) => ({
    fault,
    replaceAfterMs: random.below(REPLACE_WITHIN_MS),
    pauseMs: random.below(PAUSE_MAX_MS),
    overlaps: place > 0 && random.below(100) < OVERLAPPING_SHARE,
  }))
}

/** Side ledgers take long and hold nobody up: begun in the first half, they are over when the run is. */
const scenariosEarly = (faults: readonly Fault[], random: SeededRandom): Fault[] => {
  const ordered = faults.filter(({ kind }) => kind !== 'side ledger')
  const half = Math.floor(faults.length / 2)
  for (const scenario of faults.filter(({ kind }) => kind === 'side ledger')) {
    ordered.splice(random.below(Math.min(half, ordered.length) + 1), 0, scenario)
  }
  return ordered
}

const shuffled = <Item>(items: readonly Item[], random: SeededRandom): Item[] => {
  const shuffledItems = [...items]
  for (let place = shuffledItems.length - 1; place > 0; place -= 1) {
    const other = random.below(place + 1)
    const kept = shuffledItems[place]!
    shuffledItems[place] = shuffledItems[other]!
    shuffledItems[other] = kept
  }
  return shuffledItems
}

/** One line for people. */
export const describeFault = (fault: Fault): string => {
  switch (fault.kind) {
    case 'kill':
    case 'stop':
    case 'zombie':
      return `${fault.kind} a ${fault.role}`
    case 'kill service':
      return `kill -9 the ${fault.service}, back after ${fault.downMs} ms`
    case 'cut':
      return `cut ${fault.link}${fault.everywhere ? ' everywhere' : ''}`
    case 'stall':
    case 'delay':
      return `${fault.kind} ${fault.link} for ${fault.forMs} ms${fault.everywhere ? ' everywhere' : ''}`
    case 'crash window':
      return `${fault.window} (${fault.by})`
    case 'late Redis write':
      return `late Redis write${fault.flush ? ' after a flush' : ''} (${fault.by})`
    case 'side ledger':
      return fault.scenario
    default:
      return fault.kind
  }
}
