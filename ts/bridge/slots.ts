/**
 * Slots with generations: a slot and its generation name one timer or one registration for good, though the slot is
 * used again.
 *
 * ```text
 *   generations[slot]   odd: in use   even: free          0 → 1 → 2 → 3 → …
 * ```
 *
 * Both arrays have their full length from the beginning: the system gives memory only to the pages that are used.
 */

/** Free slots wait until there are so many before one is used again, so that a generation comes back very late. */
const REST = 1024

export class Slots {
  /** The generation of each slot. */
  readonly generations: Int32Array
  readonly capacity: number
  /** How many slots are in use. */
  used = 0
  readonly #mask: number
  /** Slots from here on have never been used. */
  #fresh = 0
  /** The free slots, oldest first, in a ring. */
  readonly #free: Int32Array
  readonly #freeMask: number
  #freeHead = 0
  #freeCount = 0

  /** Generations wrap at `2 ** generationBits`. */
  constructor(capacity: number, generationBits: number) {
    this.capacity = capacity
    this.generations = new Int32Array(capacity)
    this.#mask = 2 ** generationBits - 1
    this.#free = new Int32Array(2 ** Math.ceil(Math.log2(capacity)))
    this.#freeMask = this.#free.length - 1
  }

  /** Takes a slot. The caller has seen that `used < capacity`. */
  take(): number {
    let slot
    if (this.#freeCount > REST || this.#fresh === this.capacity) {
      slot = this.#free[this.#freeHead] as number
      this.#freeHead = (this.#freeHead + 1) & this.#freeMask
      this.#freeCount--
    } else slot = this.#fresh++
    this.generations[slot] = ((this.generations[slot] as number) + 1) & this.#mask
    this.used++
    return slot
  }

  /** Frees a slot that is in use. */
  release(slot: number): void {
    this.generations[slot] = ((this.generations[slot] as number) + 1) & this.#mask
    this.used--
    this.#free[(this.#freeHead + this.#freeCount++) & this.#freeMask] = slot
  }

  /** A new generation for a slot in use, so that what is on its way to the old one is stale. */
  renew(slot: number): number {
    return (this.generations[slot] = ((this.generations[slot] as number) + 2) & this.#mask)
  }
}
