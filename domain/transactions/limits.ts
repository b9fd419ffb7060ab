/** Bounds of every input record. They belong to the logic version: an old record must be judged the same on replay. */

export const ID_LENGTH_MAX = 64
export const SOURCE_LENGTH_MAX = 64
export const ACCOUNT_ID_LENGTH_MAX = 128
export const CARD_LENGTH_MAX = 64
export const PARTY_LENGTH_MAX = 128
/** ISO 20022 Max35Text. */
export const END_TO_END_ID_LENGTH_MAX = 35
export const ACTOR_LENGTH_MAX = 128
export const REVIEW_REASON_LENGTH_MAX = 512
export const COMMAND_KIND_LENGTH_MAX = 64
export const COMMAND_SUBJECT_LENGTH_MAX = 256
export const COMMAND_REASON_LENGTH_MAX = 512
export const METADATA_ENTRIES_MAX = 32
export const METADATA_KEY_LENGTH_MAX = 64
export const METADATA_VALUE_LENGTH_MAX = 512
export const POSTINGS_MAX = 100
/** 10^15 minor units: leaves room for thousands of such amounts in a signed 64-bit balance. */
export const AMOUNT_MINOR_MAX = 1_000_000_000_000_000n
/** How far ahead an authorization may end. */
export const EXPIRY_AHEAD_MAX_MS = 400 * 86_400_000
/** Rules that set how far back records may reach; each is the only one of its type and has its name. */
export const HORIZON_RULES = ['history_horizon', 'id_horizon'] as const
/**
 * Shortest and longest horizons, ms. An id outlives every hold that was made under it, and a hold lasts up to EXPIRY_AHEAD_MAX_MS.
 */
export const HORIZON_MIN_MS = { history_horizon: 31 * 86_400_000, id_horizon: EXPIRY_AHEAD_MAX_MS } as const
export const HORIZON_MAX_MS = 36_525 * 86_400_000
/** The years 1 to 9999: what Postgres, ISO 8601 and a Date all can say. */
export const TIME_MIN_MS = -62_135_596_800_000
export const TIME_MAX_MS = 253_402_300_799_999
/** A rulebook's text: far below what a record of the topic may have. */
export const RULEBOOK_LENGTH_MAX = 131_072
/** Rules that propose a rulebook or bring it into force; each is the only one of its type and has its name. */
export const RULEBOOK_RULES = ['rulebook_proposal', 'rulebook'] as const
/** Windows that velocity rules may look at, ms. */
export const VELOCITY_WINDOWS_MS: readonly number[] = [3_600_000, 86_400_000]
