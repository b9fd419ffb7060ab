/** Reads labels of payments for `fraud backtest`: CSV, plain or gzip, with the columns transaction_id and fraud (0 or 1). */
import { readCsv } from '#connectors/csv/reader.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { HISTORY_FORMAT } from './history-file.ts'

const LABELS_MAX = 5_000_000

/** By transaction id: whether it was a fraud. @throws ConfigurationError */
export async function readLabelFile(path: string): Promise<Map<string, boolean>> {
  const labels = new Map<string, boolean>()
  for await (const { header, records, problems } of readCsv(path, HISTORY_FORMAT)) {
    const [id, fraud] = ['transaction_id', 'fraud'].map((name) => header.indexOf(name)) as [number, number]
    if (id < 0 || fraud < 0)
      throw new ConfigurationError(`${path}: expected the columns transaction_id and fraud`)
    if (problems[0] !== undefined)
      throw new ConfigurationError(
        `${path}, line ${problems[0].line}: expected a record, found ${problems[0].reason}`,
      )
    for (const { fields, line } of records) {
      const label = fields[fraud]!
      if (label !== '0' && label !== '1')
        throw new ConfigurationError(
          `${path}, line ${line}: fraud: expected 0 or 1, found ${label.slice(0, 40)}`,
        )
      labels.set(fields[id]!, label === '1')
    }
    if (labels.size > LABELS_MAX)
      throw new ConfigurationError(`${path}: expected at most ${LABELS_MAX} labels`)
  }
  return labels
}
