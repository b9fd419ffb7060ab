/**
 * A connection between a simulated process and a service: what is sent arrives in order after a delay, what is answered too.
 * A cut loses what is under way: requests that never arrive, and answers to requests that were carried out.
 */
import type { Scheduler, SimulatedProcess } from './scheduler.ts'

export interface NetworkWeather {
  /** Delay of one way, ms. */
  delayMs(): number
  /** How long the other side takes to notice that a connection is gone, ms; infinite = never. */
  noticeMs(): number
}

export class Link {
  private readonly scheduler: Scheduler
  private readonly weather: NetworkWeather
  private readonly process: SimulatedProcess
  private arrivesAt = 0
  private answeredAt = 0
  /** What was sent, by order: a cut decides how much of it still arrives. */
  private readonly underWay = new Set<() => void>()
  isCut = false
  /** The service's side: the connection is gone. */
  onGoneAtService: (() => void) | null = null
  /** The process' side: the connection is gone. */
  onGoneAtProcess: (() => void) | null = null

  constructor(scheduler: Scheduler, weather: NetworkWeather, process: SimulatedProcess) {
    this.scheduler = scheduler
    this.weather = weather
    this.process = process
    process.onEnd((isCrash) => this.processEnded(isCrash))
  }

  /** To the service. */
  send(label: string, arrive: () => void): void {
    if (this.isCut) return
    const at = Math.max(this.arrivesAt, this.scheduler.nowMs + this.weather.delayMs())
    this.arrivesAt = at
    const cancel = this.scheduler.schedule(at - this.scheduler.nowMs, label, null, () => {
      this.underWay.delete(cancel)
      arrive()
    })
    this.underWay.add(cancel)
  }

  /** Back to the process. */
  answer(label: string, deliver: () => void, extraDelayMs = 0): void {
    if (this.isCut) return
    const at = Math.max(this.answeredAt, this.scheduler.nowMs + this.weather.delayMs() + extraDelayMs)
    this.answeredAt = at
    this.scheduler.schedule(at - this.scheduler.nowMs, label, this.process, () => {
      if (!this.isCut) deliver()
    })
  }

  /** Cut in the middle: some of what was sent still arrives, no answer does. Each side notices in its own time. */
  cut(): void {
    if (this.isCut) return
    this.loseSome()
    this.isCut = true
    const gone = this.onGoneAtProcess
    if (gone !== null) this.process.after(this.weather.delayMs(), 'connection lost', gone)
    this.serviceNotices()
  }

  /** Closed by the process, properly: what was sent before arrives, then the service sees the end. */
  close(): void {
    if (this.isCut) return
    this.send('close', () => this.onGoneAtService?.())
    this.isCut = true
  }

  /** Closed by the service: answers already sent arrive before the end does. */
  closeByService(): void {
    if (this.isCut) return
    const gone = this.onGoneAtProcess
    const at = Math.max(this.answeredAt, this.scheduler.nowMs + this.weather.delayMs())
    this.scheduler.schedule(at - this.scheduler.nowMs, 'connection closed', this.process, () => {
      if (this.isCut) return
      this.isCut = true
      gone?.()
    })
  }

  private processEnded(isCrash: boolean): void {
    if (this.isCut) return
    if (isCrash) this.loseSome()
    this.isCut = true
    this.serviceNotices()
  }

  private serviceNotices(): void {
    const noticeMs = this.weather.noticeMs()
    if (noticeMs === Number.POSITIVE_INFINITY || this.onGoneAtService === null) return
    const gone = this.onGoneAtService
    // Behind whatever still arrives.
    const at = Math.max(this.arrivesAt, this.scheduler.nowMs + noticeMs)
    this.scheduler.schedule(at - this.scheduler.nowMs, 'connection lost at service', null, gone)
  }

  /** A random rest of what is under way never arrives. */
  private loseSome(): void {
    const sent = [...this.underWay]
    const arriving = this.scheduler.random.int(0, sent.length)
    for (const cancel of sent.slice(arriving)) cancel()
    this.underWay.clear()
  }
}
