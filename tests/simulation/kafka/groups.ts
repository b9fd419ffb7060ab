/** The group coordinator: eager rebalances, members that time out, generations. */
import type { Scheduler } from '../scheduler/scheduler.ts'
import type { Broker } from './broker.ts'

export type Assignment = Record<string, number[]>

export interface JoinAnswer {
  readonly generation: number
  readonly assignment: Assignment
}

interface Member {
  readonly id: string
  topics: readonly string[]
  sessionTimeoutMs: number
  cancelTimeout: (() => void) | null
  /** Waiting for the rebalance to end. */
  joined: ((answer: JoinAnswer) => void) | null
}

export class ConsumerGroup {
  private readonly scheduler: Scheduler
  private readonly broker: Broker
  private readonly members = new Map<string, Member>()
  private generation = 0
  private isRebalancing = false
  private cancelDeadline: (() => void) | null = null
  private readonly rebalanceTimeoutMs: number

  constructor(scheduler: Scheduler, broker: Broker, rebalanceTimeoutMs: number) {
    this.scheduler = scheduler
    this.broker = broker
    this.rebalanceTimeoutMs = rebalanceTimeoutMs
  }

  join(
    id: string,
    options: { topics: readonly string[]; sessionTimeoutMs: number },
    joined: (answer: JoinAnswer) => void,
  ): void {
    const member = this.members.get(id) ?? {
      id,
      topics: options.topics,
      sessionTimeoutMs: options.sessionTimeoutMs,
      cancelTimeout: null,
      joined: null,
    }
    this.members.set(id, member)
    member.joined = joined
    member.cancelTimeout?.()
    member.cancelTimeout = null
    this.rebalance()
    if ([...this.members.values()].every((each) => each.joined !== null)) this.assign()
  }

  /** @returns what the member must do */
  heartbeat(id: string, generation: number): 'ok' | 'REBALANCE_IN_PROGRESS' | 'UNKNOWN_MEMBER_ID' {
    const member = this.members.get(id)
    if (member === undefined) return 'UNKNOWN_MEMBER_ID'
    if (member.joined === null) this.watch(member)
    if (this.isRebalancing) return 'REBALANCE_IN_PROGRESS'
    return generation === this.generation ? 'ok' : 'REBALANCE_IN_PROGRESS'
  }

  /** Whether a position that comes with this generation counts; else the broker's word for why not. */
  refusal(id: string, generation: number): 'UNKNOWN_MEMBER_ID' | 'ILLEGAL_GENERATION' | null {
    if (!this.members.has(id)) return 'UNKNOWN_MEMBER_ID'
    return generation === this.generation ? null : 'ILLEGAL_GENERATION'
  }

  leave(id: string): void {
    const member = this.members.get(id)
    if (member === undefined) return
    member.cancelTimeout?.()
    this.members.delete(id)
    if (this.members.size === 0) return
    this.rebalance()
    if ([...this.members.values()].every((each) => each.joined !== null)) this.assign()
  }

  /** Somebody outside asks for one: as when a partition is added. */
  disturb(): void {
    if (this.members.size > 0) this.rebalance()
  }

  private rebalance(): void {
    if (this.isRebalancing) return
    this.isRebalancing = true
    this.cancelDeadline = this.scheduler.schedule(this.rebalanceTimeoutMs, 'rebalance timeout', null, () =>
      this.assign(),
    )
  }

  /** Whoever hasn't joined by now is out. */
  private assign(): void {
    if (!this.isRebalancing) return
    this.isRebalancing = false
    this.cancelDeadline?.()
    this.cancelDeadline = null
    for (const member of [...this.members.values()]) {
      if (member.joined !== null) continue
      member.cancelTimeout?.()
      this.members.delete(member.id)
    }
    this.generation += 1
    const members = [...this.members.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
    const assignments = members.map((): Assignment => ({}))
    let turn = this.generation
    for (const topic of new Set(members.flatMap((member) => member.topics))) {
      for (const { partition } of this.broker.partitions(topic) ?? []) {
        const assignment = assignments[turn % members.length]!
        assignment[topic] ??= []
        assignment[topic].push(partition)
        turn += 1
      }
    }
    for (const [place, member] of members.entries()) {
      const { joined } = member
      member.joined = null
      this.watch(member)
      joined?.({ generation: this.generation, assignment: assignments[place]! })
    }
  }

  private watch(member: Member): void {
    member.cancelTimeout?.()
    member.cancelTimeout = this.scheduler.schedule(member.sessionTimeoutMs, 'session timeout', null, () => {
      this.scheduler.happened('member timed out')
      this.leave(member.id)
    })
  }
}
