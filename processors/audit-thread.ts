/** The thread in which an audit reads and decodes ingest records: started by auditing.ts with ReaderData. */
import { parentPort, workerData } from 'node:worker_threads'
import { type InputChannel, serveInputs } from './audit/replay/input-thread.ts'
import { makeInputs, type ReaderData } from './audit-inputs.ts'

if (parentPort === null) throw new Error('this module runs as a thread')
serveInputs(parentPort as InputChannel, makeInputs(workerData as ReaderData))
