/** `fraud train | score | check | propose | approve | rules | backtest`: fraud detection over histories in files, and the engine's rulebook. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { finished } from 'node:stream/promises'
import type { Command } from 'commander'
import { addCommand, type CommandContext, type CommandResult } from '#cli/command.ts'
import { addBacktest } from '#cli/fraud/backtest-command.ts'
import { readModelFile, readRulebook, type RulebookSource, withModelOption } from '#cli/fraud/files.ts'
import { addLabelCommands } from '#cli/fraud/label-commands.ts'
import { addRulebookCommands } from '#cli/fraud/rulebook-commands.ts'
import { choice, wholeOf } from '#cli/options.ts'
import { table } from '#cli/table.ts'
import { mergeHistories, readHistoryFile } from '#connectors/fraud/history-file.ts'
import { builtinModel } from '#domain/fraud/builtin/builtin.ts'
import { DAY_MS, LABEL_DELAY_DAYS } from '#domain/fraud/features/feedback.ts'
import type { Rulebook } from '#domain/fraud/rulebook/definition.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { RULEBOOK_LENGTH_MAX } from '#domain/transactions/limits.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { type Figures, figuresOf, type ScoredPayment } from '#processors/fraud/figures.ts'
import { HistoryScorer, type Scoring } from '#processors/fraud/score.ts'
import { trainModel } from '#processors/fraud/train.ts'

/** What of a command's context is used here. */
export type FraudContext = Pick<CommandContext, 'signal' | 'progress'>

interface TrainOptions {
  history: string
  out: string
  name: string
  modelVersion: string
  judgedDays: string
}

interface ScoreOptions {
  history: string
  transactions: string
  out: string
  labelsAfter: string
  labels: boolean
  model?: string
  rules?: string
  currency: string
}

const JUDGED_DAYS = { min: 1, max: 60 }
const LABELS_AFTER = `${LABEL_DELAY_DAYS}d`

/** Registers `fraud` and its subcommands. */
export function registerFraud(program: Command): void {
  const fraud = program
    .command('fraud')
    .description('fraud detection: models, scores and rulebooks (docs/fraud.md)')
  addTrain(fraud)
  addScore(fraud)
  addCheck(fraud)
  addRulebookCommands(fraud)
  addLabelCommands(fraud)
  addBacktest(fraud)
}

function addTrain(fraud: Command): void {
  addCommand<TrainOptions>(fraud, {
    usage: 'train',
    summary:
      'make a model from a labelled history, and say how well one finds frauds in weeks that it has not seen',
    example: 'fraud train --history history.csv.gz --out cards-model.json',
    configure: (command) =>
      command
        .requiredOption('--history <file>', 'labelled payments in event order: CSV, plain or gzip')
        .requiredOption('--out <file>', 'where the model goes (JSON)')
        .option('--name <name>', "the model's name", 'cards')
        .option('--model-version <text>', "the model's version", '1')
        .option('--judged-days <n>', 'the figures are of so many last days', '7'),
    run: (context, options) => trainFromFile(context, options),
  })
}

/** Trains and writes the model. @throws ConfigurationError, OperatingError training_impossible */
export async function trainFromFile(context: FraudContext, options: TrainOptions): Promise<CommandResult> {
  const judgedDays = wholeOf(options.judgedDays, '--judged-days', JUDGED_DAYS)
  const { model, figures } = await trainModel(stoppable(readHistoryFile(options.history), context), {
    name: options.name,
    version: options.modelVersion,
    judgedDays,
    progress: (message) => context.progress(message),
  })
  await writeFile(options.out, `${JSON.stringify(model, null, 2)}\n`)
  const { trees, ...shown } = model
  return {
    json: {
      model: { ...shown, trees: trees.length },
      judged_days: judgedDays,
      figures: figuresJson(figures),
    },
    text: `${options.out}: ${trees.length} trees over ${model.features.length} features\n${figuresText(figures)}`,
  }
}

function addScore(fraud: Command): void {
  addCommand<ScoreOptions>(fraud, {
    usage: 'score',
    summary: 'score payments after a history, in event order, as the engine would have',
    example: 'fraud score --history history.csv.gz --transactions week.csv.gz --out scores.csv',
    configure: (command) =>
      command
        .requiredOption('--history <file>', 'payments up to then: CSV, plain or gzip')
        .requiredOption('--transactions <file>', 'the payments to score')
        .requiredOption('--out <file>', 'where tx_id,score goes (CSV)')
        .addOption(
          choice('--labels-after <days>', 'a label of day d is used from 00:00 UTC of d + this on', [
            LABELS_AFTER,
          ]).default(LABELS_AFTER),
        )
        .option('--no-labels', 'no labels and no model that was trained on any: the rulebook scores')
        .option('--model <file>', 'a model of `fraud train`; absent: the built-in one')
        .option('--rules <file>', 'with --no-labels: a rulebook; absent: the built-in one')
        .option('--currency <code>', 'with --no-labels: of the amounts', 'EUR'),
    run: (context, options) => scoreFiles(context, options),
  })
}

/** Scores the second file's payments after the first one's. @throws ConfigurationError */
export async function scoreFiles(context: FraudContext, options: ScoreOptions): Promise<CommandResult> {
  const scorer = new HistoryScorer(await scoringOf(options))
  const started = performance.now()
  const out = createWriteStream(options.out)
  const isWritten = finished(out)
  // Awaited at the end; without this a failing disk in between would end the process without a word.
  isWritten.catch(() => {})
  out.write('tx_id,score\n')
  const scored: ScoredPayment[] = []
  let [seen, written, unlabelled, told] = [0, 0, 0, 0]
  const files = [readHistoryFile(options.history), readHistoryFile(options.transactions)] as const
  for await (const block of stoppable(mergeHistories(files), context)) {
    let lines = ''
    for (const { row, file } of block) {
      if (file === 0) {
        scorer.pass(row)
        continue
      }
      const score = scorer.score(row)
      lines += `${row.id},${score}\n`
      written += 1
      if (row.isFraud === null) unlabelled += 1
      else
        scored.push({ score, isFraud: row.isFraud, account: row.account, day: Math.floor(row.at / DAY_MS) })
    }
    if (lines !== '' && !out.write(lines)) await Promise.race([once(out, 'drain'), isWritten])
    seen += block.length
    if (seen - told < TOLD_EVERY) continue
    told = seen
    context.progress(`${seen} payments read`)
  }
  out.end()
  await isWritten
  const seconds = Math.round(performance.now() - started) / 1_000
  const figures = written > 0 && unlabelled === 0 ? figuresOf(scored) : null
  return {
    json: {
      payments: seen,
      scored: written,
      seconds,
      figures: figures === null ? null : figuresJson(figures),
    },
    text: [
      `${options.out}: ${written} scores after ${seen} payments in ${seconds} s`,
      ...(figures === null ? [] : [figuresText(figures)]),
    ].join('\n'),
  }
}

const TOLD_EVERY = 200_000

async function scoringOf({ labels, model, rules, currency }: ScoreOptions): Promise<Scoring> {
  if (labels) {
    if (rules !== undefined) throw new ConfigurationError('expected --rules with --no-labels, got it alone')
    return { by: 'model', model: model === undefined ? builtinModel() : await readModelFile(model) }
  }
  if (model !== undefined)
    throw new ConfigurationError('expected no --model with --no-labels: it was trained on labels')
  if (currencyByCode(currency) === undefined)
    throw new ConfigurationError(`expected --currency as an ISO 4217 code, got ${JSON.stringify(currency)}`)
  return {
    by: 'rules',
    currency,
    rulebook: await rulesWithoutModel(rules),
  }
}

async function rulesWithoutModel(file: string | undefined): Promise<Rulebook> {
  const { book } = await readRulebook({ file })
  if (book.model !== null)
    throw new ConfigurationError(
      `${file}: expected a rulebook without a model with --no-labels: a model was trained on labels`,
    )
  return book
}

function addCheck(fraud: Command): void {
  addCommand<{ readonly model?: string }>(fraud, {
    usage: 'check [file]',
    summary: 'check a rulebook and show its rules; without a file: the built-in one',
    example: 'fraud check my_rules.json --model model.json',
    configure: withModelOption,
    run: (_context, { model }, [file]) => checkRulebook({ file, model }),
  })
}

/** What a rulebook says, the built-in one where no file is named. @throws ConfigurationError */
export async function checkRulebook(source: RulebookSource): Promise<CommandResult> {
  const { json, book } = await readRulebook(source)
  const { name, version, rules, typologies, model } = book
  const { length } = JSON.stringify(json)
  if (length > RULEBOOK_LENGTH_MAX)
    throw new ConfigurationError(`expected at most ${RULEBOOK_LENGTH_MAX} characters, found ${length}`)
  const heading = ['rule', 'mode', 'action', 'points', 'looks at', 'title']
  const rows = rules.map((rule) => [
    rule.id,
    rule.mode,
    rule.action,
    `${rule.weight}${rule.slope === null ? '' : ` to ${rule.weight + rule.slope.most}`}`,
    rule.fires.type === 'compare' ? rule.fires.feature : `${rule.fires.subject} in ${rule.fires.list}`,
    rule.title,
  ])
  const bands = typologies.map(
    (typology) =>
      `${typology.id}: ${typology.bands.map(({ from, action }) => `${action} from ${from}`).join(', ')} (${typology.rules.join(', ')})`,
  )
  return {
    json: {
      name,
      version,
      rules,
      typologies,
      model: model === null ? null : { name: model.name, version: model.version, features: model.features },
    },
    text: [
      `${name}, version ${version}`,
      table([heading, ...rows]),
      ...bands,
      ...(model === null
        ? []
        : [
            `model ${model.name} ${model.version}: ${model.roots.length} trees, ${model.features.length} features`,
          ]),
    ].join('\n'),
  }
}

/** The blocks until somebody asks for the end. */
async function* stoppable<Block>(
  blocks: AsyncIterable<Block>,
  { signal }: FraudContext,
): AsyncGenerator<Block> {
  for await (const block of blocks) {
    signal.throwIfAborted()
    yield block
  }
}

const rounded = (figure: number): number => Math.round(figure * 10_000) / 10_000

const figuresJson = (figures: Figures) => ({
  payments: figures.payments,
  frauds: figures.frauds,
  roc_auc: rounded(figures.rocAuc),
  average_precision: rounded(figures.averagePrecision),
  card_precision_at_100: rounded(figures.cardPrecisionAt100),
})

const figuresText = (figures: Figures): string =>
  table([
    ['payments', 'frauds', 'ROC AUC', 'average precision', 'card precision@100'],
    [
      String(figures.payments),
      String(figures.frauds),
      figures.rocAuc.toFixed(4),
      figures.averagePrecision.toFixed(4),
      figures.cardPrecisionAt100.toFixed(4),
    ],
  ])
