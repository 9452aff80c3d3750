/** The payloads of a loop's timeouts, and which of them are still to be delivered. */

import type { TimeoutHandle } from '../timeout-handle.ts'
import { Slots } from './slots.ts'

/** A handle is generation × 2^24 + slot, an exact integer below 2^53. */
const SLOT_BITS = 24
const GENERATION_BITS = 53 - SLOT_BITS
const SLOT_SPAN = 2 ** SLOT_BITS

export class Timers<Timeout> {
  readonly #slots: Slots
  #payloads: (Timeout | undefined)[] = []

  constructor(capacity: number) {
    this.#slots = new Slots(capacity, GENERATION_BITS)
  }

  isFull(): boolean {
    return this.#slots.used === this.#slots.capacity
  }

  add(payload: Timeout): TimeoutHandle {
    const slot = this.#slots.take()
    if (slot === this.#payloads.length) this.#payloads.push(payload)
    else this.#payloads[slot] = payload
    return (this.generation(slot) * SLOT_SPAN + slot) as TimeoutHandle
  }

  generation(slot: number): number {
    return this.#slots.generations[slot] as number
  }

  /** The slot of a handle whose timeout is still to come; −1 for every other number. */
  find(handle: number): number {
    const slot = handle % SLOT_SPAN
    const generation = (handle - slot) / SLOT_SPAN
    return (generation & 1) === 1 && this.#slots.generations[slot] === generation ? slot : -1
  }

  /** Whether the record's 24 bits of generation are those of a timeout that is still to come. */
  isCurrent(slot: number, generation: number): boolean {
    const current = this.#slots.generations[slot]
    return current !== undefined && (current & 1) === 1 && (current & 0xffffff) === generation
  }

  /** Takes a timeout out: its payload. */
  remove(slot: number): Timeout {
    const payload = this.#payloads[slot] as Timeout
    this.#payloads[slot] = undefined
    this.#slots.release(slot)
    return payload
  }
}
