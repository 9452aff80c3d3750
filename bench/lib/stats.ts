import type { Target } from './bench.ts'

/** What is left of a figure's values over the rounds. */
export interface Summary {
  median: number
  min: number
  max: number
}

export function summary(values: number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const median = Number.isInteger(middle)
    ? (sorted[middle - 1]! + sorted[middle]!) / 2
    : sorted[Math.floor(middle)]!
  return { median, min: sorted[0]!, max: sorted[sorted.length - 1]! }
}

/** The value that `quantile` (0 … 1) of the values do not exceed; sorts them in place. */
export function quantile(values: Float64Array, quantile: number): number {
  values.sort()
  return values[Math.max(0, Math.ceil(values.length * quantile) - 1)]!
}

export function isMet(target: Target, side: Summary, ratio: Summary): boolean {
  const value =
    target.of === 'ratio' ? ratio.median : target.is === 'at least' ? side.min : side.max
  if (target.is === 'at least') return value >= target.limit
  return target.is === 'below' ? value < target.limit : value <= target.limit
}
