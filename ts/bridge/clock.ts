/** The loop's clock, by JavaScript's own, which takes no native call to read. */

import { performance } from 'node:perf_hooks'

/** Milliseconds after which the clocks are compared again: they may differ in whether they go on while a machine sleeps. */
const COMPARE_MS = 1000
/** How often they are read for it. A thread that is held up between the two finds them too far apart, and hardly each time. */
const READINGS = 3

export class Clock {
  readonly #read: () => number
  /** The loop's less ours, in milliseconds; never too small, so that no deadline is early. */
  #ahead = 0
  #comparedAt = -Infinity

  /** By a function that reads the loop's: milliseconds since its epoch. */
  constructor(read: () => number) {
    this.#read = read
    this.keep(performance.now())
  }

  /** Milliseconds since the loop's epoch. */
  now(): number {
    return performance.now() + this.#ahead
  }

  /** Compares the clocks, if that is due when `performance.now()` says `now`. */
  keep(now: number): void {
    if (now - this.#comparedAt < COMPARE_MS) return
    this.#ahead = Infinity
    for (let reading = 0; reading < READINGS; reading++) {
      this.#comparedAt = performance.now()
      this.#ahead = Math.min(this.#ahead, this.#read() - this.#comparedAt)
    }
  }
}
