/** The memory that a loop shares with its native side. */

import * as at from './layout.ts'

const COMMAND_RECORDS = 8192
/** The most sockets of one loop. A page of memory is used only when one of its slots is. */
export const REGISTRATIONS = 2 ** 18

/** The words of one loop, and where its rings lie in them. */
export class LoopMemory {
  readonly layout: at.Layout
  readonly words: Int32Array
  /** The same memory, for arguments that are float64. */
  readonly floats: Float64Array
  readonly #counters: BigUint64Array

  constructor(eventRecords: number) {
    this.layout = at.layout(eventRecords, COMMAND_RECORDS, REGISTRATIONS)
    const buffer = new SharedArrayBuffer(this.layout.words * 4)
    this.words = new Int32Array(buffer)
    this.floats = new Float64Array(buffer)
    this.#counters = new BigUint64Array(buffer)
  }

  /** A counter of the metrics, by its index in words. */
  counter(index: number): number {
    return Number(Atomics.load(this.#counters, index / 2))
  }
}
