/** A loop's timeouts: their payloads, and when they are due. */

import type { TimeoutHandle } from '../timeout-handle.ts'
import { Slots } from './slots.ts'
import { Wheel } from './wheel.ts'

/** A handle is number × 2^24 + slot, an exact integer below 2^53; the number is the generation and the loop's own start. */
const SLOT_BITS = 24
const NUMBER_BITS = 53 - SLOT_BITS
const SLOT_SPAN = 2 ** SLOT_BITS
const NUMBER_MASK = 2 ** NUMBER_BITS - 1

/** Far from each other, so that another loop's handle is none here. By the golden ratio, which leaves the widest gaps. */
let nextStart = 0

function takeStart(): number {
  const start = nextStart
  nextStart = Math.trunc(start + 0.618_033_988_749_895 * NUMBER_MASK) & NUMBER_MASK
  return start
}

/**
 * Payloads lie in pages, so that there is no large array to be copied when there are more of them; in large ones, which
 * V8 does not copy while they are young.
 */
const PAGE_BITS = 14
const PAGE_MASK = 2 ** PAGE_BITS - 1

/** What the wheel counts: halves of the finest tick, so that rounding makes no timeout later than a setTimeout. */
const STEPS_PER_MS = 2

export class Timers<Timeout> {
  /** How many have been taken for delivery. */
  delivered = 0
  readonly #slots: Slots
  readonly #pages: (Timeout | undefined)[][] = []
  readonly #wheel: Wheel
  /** Deadlines are rounded up to so many steps. */
  readonly #tick: number
  readonly #start = takeStart()
  /** When the native side is to call, by its timeout event. In milliseconds, as all times below. */
  #callAt = Infinity

  constructor(capacity: number, tickMs: number) {
    this.#slots = new Slots(capacity, NUMBER_BITS)
    this.#wheel = new Wheel(capacity)
    this.#tick = tickMs === 1 ? 1 : tickMs * STEPS_PER_MS
  }

  isFull(): boolean {
    return this.#slots.used === this.#slots.capacity
  }

  /** Sets a timeout whose deadline is so many milliseconds after the loop's epoch, rounded up. */
  set(payload: Timeout, deadline: number): TimeoutHandle {
    const slot = this.#slots.take()
    const page = this.#pages[slot >> PAGE_BITS] ?? this.#addPage()
    page[slot & PAGE_MASK] = payload
    const step = Math.ceil(deadline * STEPS_PER_MS)
    this.#wheel.set(slot, this.#tick === 1 ? step : Math.ceil(step / this.#tick) * this.#tick)
    const number = ((this.#slots.generations[slot] as number) + this.#start) & NUMBER_MASK
    return (number * SLOT_SPAN + slot) as TimeoutHandle
  }

  /** The first page grows as it is filled, since most loops have few timeouts. */
  #addPage(): (Timeout | undefined)[] {
    // With undefined in it from the first, an array of numbers does not change its kind when one is taken out.
    const length = this.#pages.length === 0 ? 1 : PAGE_MASK + 1
    const page = new Array<Timeout | undefined>(length).fill(undefined)
    this.#pages.push(page)
    return page
  }

  /** Takes back a timeout that is still to be delivered; false for every other number. */
  clear(handle: number): boolean {
    const number = Math.floor(handle / SLOT_SPAN)
    const slot = handle - number * SLOT_SPAN
    const generation = (number - this.#start) & NUMBER_MASK
    if ((number & NUMBER_MASK) !== number || (generation & 1) !== 1) return false
    if (this.#slots.generations[slot] !== generation) return false
    this.#wheel.remove(slot)
    this.#release(slot)
    return true
  }

  /** Whether the native side is to call earlier than it knows. It is not put off: see docs/bridge.md. */
  wantsCall(): boolean {
    return this.#wheel.earliest / STEPS_PER_MS < this.#callAt
  }

  /** When it is to call, which it is asked now. */
  takeCall(): number {
    return (this.#callAt = this.#wheel.earliest / STEPS_PER_MS)
  }

  /** Whether it is to call at all. */
  awaitsCall(): boolean {
    return this.#callAt !== Infinity
  }

  /**
   * All that the native side has written was read, and its call was not there though it is `now`: it comes later, or
   * somebody has overwritten it. It is to be asked for again, in place of the other.
   */
  missCall(now: number): void {
    if (this.#callAt < now) this.#callAt = Infinity
  }

  /** The native side has called: makes those due whose deadline is not after `now`. */
  advance(now: number): void {
    this.#callAt = Infinity
    this.#wheel.advance(Math.floor(now * STEPS_PER_MS))
  }

  hasDue(): boolean {
    return this.#wheel.hasDue()
  }

  /** Takes out the first of those that are due, of which there is one: its payload. */
  takeDue(): Timeout {
    this.delivered++
    return this.#release(this.#wheel.takeDue())
  }

  /** Lets go of all payloads; the loop is closed. */
  clearAll(): void {
    this.#pages.length = 0
  }

  #release(slot: number): Timeout {
    const page = this.#pages[slot >> PAGE_BITS] as (Timeout | undefined)[]
    const payload = page[slot & PAGE_MASK] as Timeout
    page[slot & PAGE_MASK] = undefined
    this.#slots.release(slot)
    return payload
  }
}
