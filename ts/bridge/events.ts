/** The event ring, seen by its reader. */

import { corrupt } from '../errors.ts'
import * as at from './layout.ts'
import type { LoopMemory } from './memory.ts'

export class Events {
  readonly #words: Int32Array
  readonly #floats: Float64Array
  readonly #start: number
  readonly #mask: number
  readonly #readiness: number
  #head = 0
  #tail = 0
  /** Where the current record begins. */
  #index = 0

  constructor(memory: LoopMemory) {
    this.#words = memory.words
    this.#floats = memory.floats
    this.#start = memory.layout.eventRing
    this.#mask = memory.layout.eventRecords - 1
    this.#readiness = memory.layout.readiness
  }

  /** Goes on to the next record; false if there is none. */
  next(): boolean {
    if (this.#head === this.#tail && this.isEmpty()) return false
    this.#index = this.#start + (this.#head & this.#mask) * at.RECORD_WORDS
    this.#head = (this.#head + 1) | 0
    return true
  }

  isEmpty(): boolean {
    this.#tail = Atomics.load(this.#words, at.EVENT_TAIL)
    if ((this.#tail - this.#head) >>> 0 > this.#mask + 1) throw corrupt('the event ring')
    return this.#head === this.#tail
  }

  /** Lets the native side use the places of the records that were read. */
  release(): void {
    Atomics.store(this.#words, at.EVENT_HEAD, this.#head)
  }

  kind(): number {
    return (this.#words[this.#index] as number) & at.KIND_MASK
  }

  generation(): number {
    return (this.#words[this.#index] as number) >>> at.GENERATION_SHIFT
  }

  slot(): number {
    return this.#words[this.#index + 1] as number
  }

  argument(): number {
    return this.#words[this.#index + 2] as number
  }

  argumentHigh(): number {
    return this.#words[this.#index + 3] as number
  }

  /** The argument as a float64. */
  argumentFloat(): number {
    return this.#floats[(this.#index >> 1) + 1] as number
  }

  /** Takes the readiness that has come together for a slot since it was last taken. */
  takeReadiness(slot: number): number {
    const word = this.#readiness + slot
    return Atomics.and(this.#words, word, ~at.READINESS_MASK) & at.READINESS_MASK
  }

  /** The readiness word of a slot, for {@link restoreReadiness}. */
  readiness(slot: number): number {
    return Atomics.load(this.#words, this.#readiness + slot)
  }

  restoreReadiness(slot: number, readiness: number): void {
    Atomics.store(this.#words, this.#readiness + slot, readiness)
  }

  /** Begins a slot's readiness anew; what is on its way to another generation is dropped. */
  resetReadiness(slot: number, generation: number): void {
    Atomics.store(this.#words, this.#readiness + slot, generation << at.GENERATION_SHIFT)
  }
}
