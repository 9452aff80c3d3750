/** What one measurement of one side brought, by metric. */
export type Sample = Record<string, number>

/** How a measurement is to be made: the same for every side. */
export interface Scale {
  /** Shows that it works; the numbers mean little. */
  short: boolean
}

/** One of the contestants. Every measurement starts afresh, in processes of its own. */
export interface Side {
  name: string
  measure(scale: Scale): Promise<Sample>
  /** Why it cannot run here, and its figures are left out; null: it can. */
  unavailable?(): string | null
}

export type Unit = '/s' | 'MiB/s' | 'µs' | 'ms' | 'ns' | 'MiB' | 'KiB' | ''

/** A line of the table: one metric of one side, against the same metric of the peer. */
export interface Figure {
  title: string
  metric: string
  unit: Unit
  side: string
  peer: string
  target?: Target
}

/**
 * What is to be reached: by the ratio side ÷ peer, as the median over the rounds, or (`value`) by
 * the side's own worst value.
 */
export type Target = {
  of: 'ratio' | 'value'
  /** 'below' does not allow for being equal. */
  is: 'at least' | 'at most' | 'below'
  limit: number
}

export const atLeast = (limit: number): Target => ({ of: 'ratio', is: 'at least', limit })
export const atMost = (limit: number): Target => ({ of: 'ratio', is: 'at most', limit })
export const below = (limit: number): Target => ({ of: 'ratio', is: 'below', limit })
export const valueAtMost = (limit: number): Target => ({ of: 'value', is: 'at most', limit })
export const none = valueAtMost(0)

/** Sides that are measured in turn, and what is read off them. */
export interface Contest {
  /** Names the circumstances where a bench has several: '64 connections'. */
  name: string
  sides: Side[]
  figures: Figure[]
}

export interface Bench {
  name: string
  contests: Contest[]
  /** Why it cannot run on this system; null: it can. */
  unavailable?(): string | null
}
