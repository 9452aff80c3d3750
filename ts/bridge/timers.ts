/** The payloads of a loop's timeouts, and which of them are still to be delivered. */

import type { TimeoutHandle } from '../timeout-handle.ts'
import { Slots } from './slots.ts'

/** A handle is generation × 2^24 + slot, an exact integer below 2^53. */
const SLOT_BITS = 24
const GENERATION_BITS = 53 - SLOT_BITS
const SLOT_SPAN = 2 ** SLOT_BITS

/**
 * Payloads lie in pages, so that there is no large array to be copied when there are more of them; in large ones, which
 * V8 does not copy while they are young.
 */
const PAGE_BITS = 14
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
    const page = this.#pages[slot >> PAGE_BITS] ?? this.#addPage()
    page[slot & PAGE_MASK] = payload
    return slot
  }

  /** The first page grows as it is filled, since most loops have few timeouts. */
  #addPage(): (Timeout | undefined)[] {
    // With undefined in it from the first, an array of numbers does not change its kind when one is taken out.
    const length = this.#pages.length === 0 ? 1 : PAGE_MASK + 1
    const page = new Array<Timeout | undefined>(length).fill(undefined)
    this.#pages.push(page)
    return page
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

  /** Lets go of all payloads; the loop is closed. */
  clear(): void {
    this.#pages.length = 0
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
