/**
 * The command ring, seen by its writer: what JavaScript asks of the loop, without a native call. Commands are published
 * together, when JavaScript has nothing else to do: what they bring could not be delivered before. Where there are
 * connections the native side is told as they are written: when JavaScript goes on computing, a thread publishes them.
 */

import { corrupt } from '../errors.ts'
import * as at from './layout.ts'
import type { LoopMemory } from './memory.ts'

export class Commands {
  readonly #words: Int32Array
  readonly #floats: Float64Array
  readonly #start: number
  readonly #records: number
  readonly #flush: () => void
  #lookOut: (() => void) | undefined
  /** How many calls of {@link cork} there are, one within the other. */
  #corks = 0
  #tail = 0
  #published = 0
  /** The native side's head as last read. */
  #head = 0
  /** Connections are asked something: that is for whoever turns the loop, at the end of a batch. */
  hasTransfers = false

  /** `flush` publishes, and has the native side take in all that is in the ring, or throws. */
  constructor(memory: LoopMemory, flush: () => void) {
    this.#words = memory.words
    this.#floats = memory.floats
    this.#start = memory.layout.commandRing
    this.#records = memory.layout.commandRecords
    this.#flush = flush
  }

  /** Asks for a timeout event `deadline` milliseconds after the loop's epoch, in place of the last one asked for. */
  callAt(deadline: number): void {
    const index = this.#place()
    this.#floats[(index >> 1) + 1] = deadline
    this.#write(index, at.COMMAND_CALL_AT, 0, 0)
  }

  rearm(slot: number, generation: number): void {
    this.#write(this.#place(), at.COMMAND_REARM, slot, generation)
  }

  /** Asks for bytes of the outbound arena to be sent. */
  send(slot: number, generation: number, position: number, length: number): void {
    const index = this.#place()
    this.#words[index + 2] = position
    this.#words[index + 3] = length
    this.#write(index, at.COMMAND_WRITE, slot, generation)
    this.hasTransfers = true
  }

  /** Asks something else of a connection: one of the `COMMAND_…` kinds, and what it wants to know. */
  connection(kind: number, slot: number, generation: number, argument = 0): void {
    const index = this.#place()
    this.#words[index + 2] = argument
    this.#words[index + 3] = 0
    this.#write(index, kind, slot, generation)
    this.hasTransfers = true
  }

  /**
   * From now on what is written does not wait for {@link publish} for ever. `lookOut` has a native thread look, when none
   * does.
   */
  announce(lookOut: () => void): void {
    this.#lookOut = lookOut
    this.#announce(lookOut)
  }

  /** Calls `write`: no thread is told what it writes before all of it is written. */
  cork<T>(write: () => T): T {
    this.#corks++
    try {
      return write()
    } finally {
      this.#corks--
      if (this.#lookOut !== undefined) this.#announce(this.#lookOut)
    }
  }

  #announce(lookOut: () => void): void {
    if (this.#corks > 0) return
    const words = this.#words
    Atomics.store(words, at.COMMAND_WRITTEN, this.#tail)
    if (Atomics.load(words, at.LOOKOUT_PARKED) === 0) return
    if (Atomics.exchange(words, at.LOOKOUT_PARKED, 0) !== 0) lookOut()
  }

  /** Lets the native side see what was written. */
  publish(): void {
    if (this.#published === this.#tail) return
    this.#published = this.#tail
    Atomics.store(this.#words, at.COMMAND_TAIL, this.#tail)
  }

  /** Whether the native side has not taken in everything yet. */
  arePending(): boolean {
    return this.#tail !== this.#readHead()
  }

  #place(): number {
    if (((this.#tail - this.#head) | 0) === this.#records) {
      if (((this.#tail - this.#readHead()) | 0) === this.#records) this.#flush()
    }
    return this.#start + (this.#tail & (this.#records - 1)) * at.RECORD_WORDS
  }

  #readHead(): number {
    const head = Atomics.load(this.#words, at.COMMAND_HEAD)
    if ((this.#tail - head) >>> 0 > this.#records) throw corrupt('the command ring')
    return (this.#head = head)
  }

  #write(index: number, kind: number, slot: number, generation: number): void {
    this.#words[index] = kind | (generation << at.GENERATION_SHIFT)
    this.#words[index + 1] = slot
    this.#tail = (this.#tail + 1) | 0
    if (this.#lookOut !== undefined) this.#announce(this.#lookOut)
  }
}
