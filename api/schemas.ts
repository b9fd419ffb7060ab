/** JSON schemas that several routes share. They check requests, shape replies and become the OpenAPI document. */

export const accountIdSchema = {
  type: 'string',
  minLength: 1,
  maxLength: 128,
  examples: ['user_11'],
} as const

/** Where an account may be a number, as clients of older systems send it: it stands for its decimal digits. */
export const anyAccountIdSchema = {
  type: ['string', 'integer'],
  minLength: 1,
  maxLength: 128,
  minimum: 0,
  // Beyond, one number is written in more ways than one.
  maximum: Number.MAX_SAFE_INTEGER,
  examples: ['user_11'],
} as const

export const currencySchema = {
  type: 'string',
  minLength: 3,
  maxLength: 3,
  description: 'ISO 4217 alphabetic code.',
  examples: ['EUR'],
} as const

/** In requests: major units. */
export const amountSchema = {
  type: ['string', 'number'],
  maxLength: 40,
  description: 'Major units: decimal text, or a JSON number; exact in the currency.',
  examples: ['12.75'],
} as const

/** In replies: exact decimal text, major units. */
export const decimalSchema = {
  type: 'string',
  description: 'Exact decimal text in major units.',
  examples: ['12.75'],
} as const

/** In replies that older clients read. */
export const compatibleAmountSchema = {
  type: ['number', 'string', 'null'],
  description: 'Major units: a JSON number where that is exact, else decimal text.',
  examples: [12.75],
} as const

/** Path parameters of an account's routes. */
export const accountParams = {
  type: 'object',
  properties: { id: { ...accountIdSchema, description: 'The account’s id.' } },
} as const

export const timeSchema = { type: 'string', examples: ['2026-01-31T12:00:00.000Z'] } as const
export const nullableTextSchema = { type: ['string', 'null'] } as const

export const statusSchema = {
  type: 'string',
  description:
    'What became of the transaction: completed (applied), authorized, held, voided, declined, expired, rejected; pending until it is decided.',
  examples: ['completed'],
} as const

export const postingSchema = {
  type: 'object',
  properties: {
    debit: accountIdSchema,
    credit: accountIdSchema,
    amount: decimalSchema,
    currency: currencySchema,
  },
} as const

export const entrySchema = {
  type: 'object',
  properties: {
    account_id: accountIdSchema,
    side: { type: 'string', enum: ['debit', 'credit'] },
    amount: decimalSchema,
    currency: currencySchema,
    posted_after: {
      ...decimalSchema,
      description: 'Credits less debits of the account after this entry, major units.',
    },
  },
} as const

/** A fraud rule that fired, explained. */
export const ruleHitSchema = {
  type: 'object',
  properties: {
    rule_id: { type: 'string' },
    version: { type: 'string' },
    value: { type: 'string', description: 'What was seen: minor units or a count.' },
    threshold: { type: 'string', description: 'What is allowed.' },
    action: { type: 'string', description: 'none, shadow, alert, hold or reject.' },
    points: { type: 'integer', description: 'What it adds to the score of typologies.' },
    words: { type: 'string', description: 'The explanation.' },
  },
} as const

export const ruleHitExample = {
  rule_id: 'many_at_night',
  version: '1',
  value: '5',
  threshold: '4',
  action: 'hold',
  points: 120,
  words: '5 payments in an hour at night, limit 4',
} as const

/** Answer to a posting: its id and what became of it. */
export const outcomeSchema = {
  type: 'object',
  properties: {
    txn_id: { type: 'string' },
    source: { type: 'string' },
    status: statusSchema,
    reason: {
      ...nullableTextSchema,
      description: 'Reason code, where it was rejected; held_for_review where it is held.',
    },
    sequence: { ...nullableTextSchema, description: 'Place in the ledger’s history.' },
    recorded_at: nullableTextSchema,
  },
} as const

/** What the outcome schema holds for a transaction that was applied, and for one that is under way. */
export const outcomeExamples = {
  completed: {
    txn_id: 'pay-1',
    status: 'completed',
    sequence: '4711',
    recorded_at: '2026-01-31T12:00:00.000Z',
  },
  pending: { txn_id: 'pay-1', status: 'pending' },
} as const
