/** How many messages wait for `notify`, wherever they wait: one count for all Senders, so that capacity is exact. */

import { NotifyError } from '../errors.ts'
import * as at from './layout.ts'

/** The count of a loop that is gone: more than any capacity. */
const CLOSED = 0x7fffffff

export class Queue {
  readonly #words: Int32Array
  readonly #capacity: number
  /** Other isolates count, too. */
  #isShared = false

  constructor(words: Int32Array, capacity: number) {
    this.#words = words
    this.#capacity = capacity
  }

  /** From now on Senders in other isolates may count. */
  share(): void {
    this.#isShared = true
  }

  /** Counts a message in, which the count may refuse. */
  enter(message: unknown): void {
    if (!this.#isShared) {
      const queued = this.#words[at.QUEUED] as number
      if (queued >= this.#capacity) throw refusal(this.#words, message)
      this.#words[at.QUEUED] = queued + 1
      return
    }
    while (!tryEnter(this.#words, this.#capacity, message));
  }

  /** Counts a message out, which is being delivered. */
  leave(): void {
    if (this.#isShared) Atomics.sub(this.#words, at.QUEUED, 1)
    else this.#words[at.QUEUED] = (this.#words[at.QUEUED] as number) - 1
  }

  close(): void {
    closeQueue(this.#words)
  }
}

/** Counts a message in from any isolate; false: somebody was faster, try again. */
export function tryEnter(words: Int32Array, capacity: number, message: unknown): boolean {
  const queued = Atomics.load(words, at.QUEUED)
  if (queued >= capacity) throw refusal(words, message)
  return Atomics.compareExchange(words, at.QUEUED, queued, queued + 1) === queued
}

/** Has every Sender told that the loop is gone. */
export function closeQueue(words: Int32Array): void {
  Atomics.store(words, at.QUEUED, CLOSED)
}

/** Why a message is not taken. */
export function refusal(words: Int32Array, message: unknown): NotifyError {
  // A message may have been counted out since the loop was closed.
  const isClosed = Atomics.load(words, at.QUEUED) > CLOSED / 2
  return new NotifyError(isClosed ? 'ERR_MIOLO_NOTIFY_CLOSED' : 'ERR_MIOLO_NOTIFY_FULL', message)
}
