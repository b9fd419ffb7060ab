/**
 * What amounts are usual for an account, card or terminal: a running mean and a running mean absolute deviation in fixed point.
 *
 * The first WARM_UP amounts count alike (mean += (x − mean) / n, Welford's update), later ones with weight 1/WARM_UP (an exponentially
 * weighted mean). Once there is some history, an amount counts as at most twice the mean: a run of stolen payments then hardly moves
 * what it is compared with, while a lasting change of habits is followed within weeks.
 */
import type { ByteReader, ByteWriter } from './bytes.ts'

export interface Habit {
  /** Amounts seen; stops at WARM_UP. */
  count: number
  /** 1/SCALE minor units. */
  mean: number
  /** Mean absolute deviation from the mean, 1/SCALE minor units. */
  deviation: number
}

/** Larger amounts count as this, 2^40 minor units, so that all products here stay exact. */
const AMOUNT_MAX = 1_099_511_627_776
const SCALE = 16
const WARM_UP = 64
/** From so many amounts on, single ones are cut at twice the mean. */
const CUT_FROM = 4
/** Ratios are cut here: a thousandfold. */
export const PERCENT_MAX = 100_000

/** Nothing seen yet. */
export const newHabit = (): Habit => ({ count: 0, mean: 0, deviation: 0 })

/** Adds an amount. @param amount minor units, not negative */
export const addToHabit = (habit: Habit, amount: number): void => {
  const capped = Math.min(amount, AMOUNT_MAX) * SCALE
  const value = habit.count >= CUT_FROM ? Math.min(capped, habit.mean * 2 + SCALE) : capped
  if (habit.count < WARM_UP) habit.count += 1
  // A step of nothing for large counts would freeze small means: SCALE keeps four binary places.
  const distance = Math.abs(value - habit.mean)
  habit.mean += Math.trunc((value - habit.mean) / habit.count)
  if (habit.count > 1) habit.deviation += Math.trunc((distance - habit.deviation) / habit.count)
}

/** The mean, whole minor units; 0 where nothing was seen. */
export const usualAmount = (habit: Habit): number => Math.floor(habit.mean / SCALE)

/** An amount in percent of the mean: 100 = usual; 100 where nothing was seen. At most PERCENT_MAX. */
export const percentOfUsual = (habit: Habit, amount: number): number => {
  if (habit.count === 0) return 100
  if (habit.mean === 0) return amount === 0 ? 100 : PERCENT_MAX
  return Math.min(PERCENT_MAX, Math.floor((Math.min(amount, AMOUNT_MAX) * SCALE * 100) / habit.mean))
}

/** How far an amount lies above the mean, in percent of the mean absolute deviation; 0 where it is below, or little was seen. */
export const deviationPercent = (habit: Habit, amount: number): number => {
  if (habit.count < CUT_FROM) return 0
  const above = Math.min(amount, AMOUNT_MAX) * SCALE - habit.mean
  if (above <= 0) return 0
  // A habit of always the same amount has no deviation: one minor unit stands for it.
  return Math.min(PERCENT_MAX, Math.floor((above * 100) / Math.max(habit.deviation, SCALE)))
}

/** Count, mean, deviation. */
export const writeHabit = (habit: Habit, writer: ByteWriter): void => {
  writer.number(habit.count)
  writer.number(habit.mean)
  writer.number(habit.deviation)
}

/** @throws Error where the bytes end */
export const readHabit = (reader: ByteReader): Habit => ({
  count: reader.number(),
  mean: reader.number(),
  deviation: reader.number(),
})
