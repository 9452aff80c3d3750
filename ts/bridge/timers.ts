/** The payloads of a loop's timeouts, and which of them are still to be delivered. */

import type { TimeoutHandle } from '../timeout-handle.ts'
import { Slots } from './slots.ts'

/** A handle is generation × 2^24 + slot, an exact integer below 2^53. */
const SLOT_BITS = 24
const GENERATION_BITS = 53 - SLOT_BITS
const SLOT_SPAN = 2 ** SLOT_BITS

/** Payloads lie in pages, so that there is no large array to be copied when there are more of them. */
const PAGE_BITS = 10
const PAGE_MASK = 2 ** PAGE_BITS - 1

export class Timers<Timeout> {
  readonly #slots: Slots
  readonly #pages: (Timeout | undefined)[][] = []

  constructor(capacity: number) {
    this.#slots = new Slots(capacity, GENERATION_BITS)
  }

  isFull(): boolean {
    return this.#slots.used === this.#slots.capacity
  }

  /** Takes a slot for a payload. */
  add(payload: Timeout): number {
    const slot = this.#slots.take()
    // Filled, so that an array of numbers does not change its kind when the first is taken out.
    const page = (this.#pages[slot >> PAGE_BITS] ??= new Array(PAGE_MASK + 1).fill(undefined))
    page[slot & PAGE_MASK] = payload
    return slot
  }

  generation(slot: number): number {
    return this.#slots.generations[slot] as number
  }

  handle(slot: number): TimeoutHandle {
    return (this.generation(slot) * SLOT_SPAN + slot) as TimeoutHandle
  }

  /** The slot of a handle whose timeout is still to come; −1 for every other number. */
  find(handle: number): number {
    const generation = Math.floor(handle / SLOT_SPAN)
    const slot = handle - generation * SLOT_SPAN
    return (generation & 1) === 1 && this.#slots.generations[slot] === generation ? slot : -1
  }

  /** Whether the record's 24 bits of generation are those of a timeout that is still to come. */
  isCurrent(slot: number, generation: number): boolean {
    const current = this.#slots.generations[slot]
    return current !== undefined && (current & 1) === 1 && (current & 0xffffff) === generation
  }

  /** Takes a timeout out: its payload. */
  remove(slot: number): Timeout {
    const page = this.#pages[slot >> PAGE_BITS] as (Timeout | undefined)[]
    const payload = page[slot & PAGE_MASK] as Timeout
    page[slot & PAGE_MASK] = undefined
    this.#slots.release(slot)
    return payload
  }
}
