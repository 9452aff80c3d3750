/**
 * How many messages wait for `notify`, wherever they wait: one count for all Senders, so that capacity is exact.
 *
 * It is the difference of two counts. Senders write only the one, the receiver only the other, and a Sender looks at
 * the receiver's only when by its last look there is no room: so neither disturbs the other with every message.
 */

import { NotifyError } from '../errors.ts'
import * as at from './layout.ts'

/** What a Sender, in any isolate, knows of the count. */
export class QueueEntrance {
  readonly #words: Int32Array
  readonly #capacity: number
  /** The receiver's count as last seen. */
  #left: number

  constructor(words: Int32Array, capacity: number) {
    this.#words = words
    this.#capacity = capacity
    this.#left = Atomics.load(words, at.LEFT)
  }

  /** The Senders' count, to be exchanged for one more. Throws if there is no room for `message`. */
  look(message: unknown): number {
    const entered = Atomics.load(this.#words, at.ENTERED)
    this.#check(entered, message)
    return entered
  }

  /** As {@link look}, after the native side, which looks at both counts, has found no room. */
  lookAgain(message: unknown): void {
    this.#left = Atomics.load(this.#words, at.LEFT)
    this.look(message)
  }

  /** Counts a message in that is sent by the loop's own isolate; `alone` if no other has a Sender. */
  enter(message: unknown, alone: boolean): void {
    const words = this.#words
    if (alone) {
      const entered = words[at.ENTERED] as number
      this.#check(entered, message)
      words[at.ENTERED] = entered + 1
      return
    }
    let entered
    do entered = this.look(message)
    while (Atomics.compareExchange(words, at.ENTERED, entered, (entered + 1) | 0) !== entered)
  }

  /** Has every Sender told that the loop is gone. */
  close(): void {
    Atomics.store(this.#words, at.ENTERED, Atomics.load(this.#words, at.LEFT) + at.QUEUE_CLOSED)
  }

  #check(entered: number, message: unknown): void {
    if ((entered - this.#left) >>> 0 < this.#capacity) return
    this.#left = Atomics.load(this.#words, at.LEFT)
    // Below zero where others have come and gone since `entered` was read.
    const waiting = (entered - this.#left) | 0
    if (waiting < this.#capacity) return
    // A message may have been counted out since the loop was closed.
    const isClosed = waiting > at.QUEUE_CLOSED / 2
    throw new NotifyError(isClosed ? 'ERR_MIOLO_NOTIFY_CLOSED' : 'ERR_MIOLO_NOTIFY_FULL', message)
  }
}

/** The receiver's end of the count. */
export class QueueExit {
  readonly #words: Int32Array
  #left = 0

  constructor(words: Int32Array) {
    this.#words = words
  }

  /** Counts a message out, which is being delivered. A plain store: nobody waits for it, and a Sender that sees it late
   * has less room for a moment. */
  leave(): void {
    this.#words[at.LEFT] = this.#left = (this.#left + 1) | 0
  }
}
