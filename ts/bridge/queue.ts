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

  /** Throws if there is no room for a message now. */
  check(message: unknown): void {
    this.#look(Atomics.load(this.#words, at.ENTERED), message)
  }

  /** Counts a message in; false: another Sender was faster, try again. Throws if there is no room. */
  tryEnter(message: unknown): boolean {
    const entered = Atomics.load(this.#words, at.ENTERED)
    this.#look(entered, message)
    return Atomics.compareExchange(this.#words, at.ENTERED, entered, (entered + 1) | 0) === entered
  }

  /** As {@link tryEnter}, where no other isolate has a Sender. */
  enterAlone(message: unknown): void {
    const entered = this.#words[at.ENTERED] as number
    this.#look(entered, message)
    this.#words[at.ENTERED] = entered + 1
  }

  /** Has every Sender told that the loop is gone. */
  close(): void {
    Atomics.store(this.#words, at.ENTERED, Atomics.load(this.#words, at.LEFT) + at.QUEUE_CLOSED)
  }

  #look(entered: number, message: unknown): void {
    if (((entered - this.#left) | 0) < this.#capacity) return
    this.#left = Atomics.load(this.#words, at.LEFT)
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

  /** Counts a message out, which is being delivered. */
  leave(): void {
    this.#left = (this.#left + 1) | 0
    Atomics.store(this.#words, at.LEFT, this.#left)
  }
}
