/**
 * Checks the audit log: each entry against its hash and the one before, the end against the head row, and both against what was kept
 * elsewhere. What it can't show: rows that were written anew together with all that follow, the head row, and every copy of the head.
 */
import { type AuditLog, auditHash, FIRST_PREVIOUS, type StoredAuditEntry } from './audit-log.ts'

export interface AuditLogFinding {
  readonly table: 'audit_log' | 'audit_log_head'
  /** The place of an entry, or the first and last of a stretch: `7`, `7-9`. */
  readonly key: string
  readonly kind: 'changed' | 'added' | 'removed' | 'chain'
}

/** A head that was noted elsewhere, for example in the archive. */
export interface AuditLogAnchor {
  readonly seq: bigint
  /** Hex. */
  readonly hash: string
}

export interface AuditLogReport {
  /** Entries that were read. */
  readonly entries: bigint
  /** The last of them; 0 for an empty log. */
  readonly seq: bigint
  readonly hash: Buffer
  readonly findings: readonly AuditLogFinding[]
}

const PAGE = 1_000
/** Before every place that a row could have. */
const BEFORE_ALL = -(2n ** 63n)

/**
 * Checks the whole log, page by page, as of now; others may go on appending.
 * @throws UnreachableError, OperatingError `postgres_failed`
 */
export async function checkAuditLog(
  log: Pick<AuditLog, 'head' | 'readAfter'>,
  anchor: AuditLogAnchor | null = null,
): Promise<AuditLogReport> {
  const { head, last } = await log.head()
  const end = head !== null && head.seq > last ? head.seq : last
  const checker = new AuditLogChecker()
  let place = BEFORE_ALL
  for (;;) {
    const page = (await log.readAfter(place, PAGE)).filter(({ seq }) => seq <= end)
    for (const entry of page) checker.check(entry, anchor)
    place = page.at(-1)?.seq ?? place
    if (page.length < PAGE) break
  }
  checker.finish(head, anchor)
  const { entries, findings } = checker
  return { entries, findings, ...checker.last }
}

/** Checks entries in the order of their places. */
export class AuditLogChecker {
  readonly findings: AuditLogFinding[] = []
  entries = 0n
  /** The last entry that was checked. */
  last: { readonly seq: bigint; readonly hash: Buffer } = { seq: 0n, hash: FIRST_PREVIOUS }
  /** The hash before that. */
  private before: Buffer | null = null

  check(entry: StoredAuditEntry, anchor: AuditLogAnchor | null = null): void {
    const { seq, hash } = entry
    this.entries += 1n
    if (seq < 1n) {
      this.find(seq, 'added')
      return
    }
    const expected = this.last.seq + 1n
    if (seq !== expected) this.find(expected, 'removed', seq - 1n)
    else if (!entry.previousHash.equals(this.last.hash)) {
      // It follows the one before the last: that one was put in between.
      if (this.before !== null && entry.previousHash.equals(this.before)) this.find(this.last.seq, 'added')
      else this.find(seq, 'chain')
    }
    if (!auditHash(entry).equals(hash)) this.find(seq, 'changed')
    if (anchor?.seq === seq && hash.toString('hex') !== anchor.hash) this.find(seq, 'chain')
    this.before = this.last.hash
    this.last = { seq, hash }
  }

  /** What must have been there: up to the head, and to what was noted elsewhere. @param head as it stood before the entries were read */
  finish(
    head: { readonly seq: bigint; readonly hash: Buffer } | null,
    anchor: AuditLogAnchor | null = null,
  ): void {
    const { seq, hash } = this.last
    const anchored = anchor?.seq ?? 0n
    const end = head !== null && head.seq > anchored ? head.seq : anchored
    if (seq < end) this.find(seq + 1n, 'removed', end)
    if (head === null) this.findings.push({ table: 'audit_log_head', key: 'head', kind: 'removed' })
    else if (seq > head.seq) this.find(head.seq + 1n, 'added', seq)
    else if (seq === head.seq && !hash.equals(head.hash)) {
      this.findings.push({ table: 'audit_log_head', key: 'head', kind: 'chain' })
    }
  }

  private find(first: bigint, kind: AuditLogFinding['kind'], last = first): void {
    const key = first === last ? String(first) : `${first}-${last}`
    this.findings.push({ table: 'audit_log', key, kind })
  }
}
