/**
 * Slots with generations: a slot and its generation name one timer or one registration for good, though the slot is
 * used again.
 *
 * ```text
 *   generations[slot]   odd: in use   even: free          0 → 1 → 2 → 3 → …
 * ```
 */

/** Free slots wait until there are so many before one is used again, so that a generation comes back very late. */
const REST = 1024

export class Slots {
  /** The generation of each slot. */
  generations = new Int32Array(64)
  /** How many slots are in use. */
  used = 0
  readonly capacity: number
  readonly #mask: number
  /** Slots from here on have never been used. */
  #fresh = 0
  /** The free slots, oldest first: a ring of a power of two. */
  #free = new Int32Array(64)
  #freeHead = 0
  #freeCount = 0

  /** Generations wrap at `2 ** generationBits`. */
  constructor(capacity: number, generationBits: number) {
    this.capacity = capacity
    this.#mask = 2 ** generationBits - 1
  }

  /** Takes a slot. The caller has seen that `used < capacity`. */
  take(): number {
    const slot = this.#freeCount > REST || this.#fresh === this.capacity ? this.#reuse() : this.#fresh++
    if (slot >= this.generations.length) this.#grow()
    this.generations[slot] = ((this.generations[slot] as number) + 1) & this.#mask
    this.used++
    return slot
  }

  /** Frees a slot that is in use. */
  release(slot: number): void {
    this.generations[slot] = ((this.generations[slot] as number) + 1) & this.#mask
    this.used--
    if (this.#freeCount === this.#free.length) this.#growFree()
    this.#free[(this.#freeHead + this.#freeCount++) & (this.#free.length - 1)] = slot
  }

  /** A new generation for a slot in use, so that what is on its way to the old one is stale. */
  renew(slot: number): number {
    return (this.generations[slot] = ((this.generations[slot] as number) + 2) & this.#mask)
  }

  #reuse(): number {
    const slot = this.#free[this.#freeHead] as number
    this.#freeHead = (this.#freeHead + 1) & (this.#free.length - 1)
    this.#freeCount--
    return slot
  }

  #grow(): void {
    const larger = new Int32Array(Math.min(this.generations.length * 2, Math.max(this.capacity, 64)))
    larger.set(this.generations)
    this.generations = larger
  }

  #growFree(): void {
    const old = this.#free
    const larger = new Int32Array(old.length * 2)
    larger.set(old.subarray(this.#freeHead))
    larger.set(old.subarray(0, this.#freeHead), old.length - this.#freeHead)
    this.#free = larger
    this.#freeHead = 0
  }
}
