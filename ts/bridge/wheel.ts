/**
 * A hierarchical timer wheel: which slots are due by which step. It knows neither the clock nor payloads.
 *
 * ```text
 *   far       [ beyond ]             one list
 *   level 5   [ . . X . . . . . ]    32 buckets of 2^25 steps
 *      …
 *   level 1   [ . X . . . . . . ]    32 buckets of 32 steps
 *   level 0   [ . . . X . . . . ]    32 buckets of 1 step
 *   due       [ . X X X ]            one list, to be delivered
 * ```
 *
 * A slot lies at the level of the highest group of five bits in which its step differs from the present. When the present
 * comes to the start of a bucket above level 0, its slots move down. Slots of one step are therefore always in one list,
 * in the order they were set. Why it is not the one in Rust (crates/miolo/src/timer): docs/bridge.md, Timeouts.
 */

const BITS = 5
const BUCKETS = 1 << BITS
const LEVELS = 6
/** Steps that the levels have in common a prefix for. */
const SPAN = 2 ** (BITS * LEVELS)
const LOW = SPAN - 1
/** The lists: the buckets level by level, and these two. */
const FAR = LEVELS * BUCKETS
const DUE = FAR + 1
const LISTS = DUE + 1

export class Wheel {
  /** No slot is due before this step; Infinity if there is none, and too early where the earliest was taken out. */
  earliest = Infinity
  /**
   * Rings of places. A list's own place, by which it begins and ends, has its number; those of the slots come after all
   * lists. So a slot is taken out without knowing its list.
   */
  readonly #next: Int32Array
  readonly #previous: Int32Array
  /** The step of each place. */
  readonly #steps: Float64Array
  /** For each list, a step before which none in it is due. */
  readonly #earliest = new Float64Array(LISTS).fill(Infinity)
  /** For each level, a bit for each bucket that has had a slot since it was last found empty. */
  readonly #occupied = new Int32Array(LEVELS)
  /** The step up to which slots have been made due. */
  #present = 0
  /** Its bits that the levels are about. */
  #low = 0
  /** The first step that is far. */
  #end = SPAN

  constructor(capacity: number) {
    this.#next = new Int32Array(LISTS + capacity)
    this.#previous = new Int32Array(LISTS + capacity)
    this.#steps = new Float64Array(LISTS + capacity)
    for (let list = 0; list < LISTS; list++) this.#next[list] = this.#previous[list] = list
  }

  /** Puts in a slot that is not there, due at `step`, or at the next {@link advance} if that has passed. */
  set(slot: number, step: number): void {
    const place = LISTS + slot
    if (step < this.#present) step = this.#present
    if (step < this.earliest) this.earliest = step
    this.#steps[place] = step
    this.#put(place, step)
  }

  /** Takes a slot out that is there, due or not. */
  remove(slot: number): void {
    const place = LISTS + slot
    const next = this.#next[place] as number
    const previous = this.#previous[place] as number
    this.#next[previous] = next
    this.#previous[next] = previous
  }

  /** Makes every slot due whose step is not after `now`. */
  advance(now: number): void {
    if (now < this.#present) now = this.#present
    let list
    for (;;) {
      list = this.#first()
      if (list < 0) break
      const start = this.#start(list)
      if (start > now) break
      this.#moveTo(start)
      this.#empty(list)
    }
    this.#moveTo(now)
    this.earliest = list < 0 ? Infinity : (this.#earliest[list] as number)
  }

  hasDue(): boolean {
    return this.#next[DUE] !== DUE
  }

  /** Takes out the first of the slots that are due, of which there is one. */
  takeDue(): number {
    const slot = (this.#next[DUE] as number) - LISTS
    this.remove(slot)
    return slot
  }

  #put(place: number, step: number): void {
    let list = FAR
    if (step < this.#end) {
      const low = step & LOW
      const level = ((31 - Math.clz32((low ^ this.#low) | 1)) / BITS) | 0
      const bucket = (low >> (level * BITS)) & (BUCKETS - 1)
      this.#occupied[level] = (this.#occupied[level] as number) | (1 << bucket)
      list = level * BUCKETS + bucket
    }
    if (step < (this.#earliest[list] as number)) this.#earliest[list] = step
    this.#append(list, place, place)
  }

  /** Appends a chain of places to a list. */
  #append(list: number, first: number, last: number): void {
    const end = this.#previous[list] as number
    this.#next[end] = first
    this.#previous[first] = end
    this.#next[last] = list
    this.#previous[list] = last
  }

  /** The list whose slots are due before those of the others, but for the due; −1 if there is none. */
  #first(): number {
    for (let level = 0; level < LEVELS; level++) {
      for (;;) {
        const occupied = this.#occupied[level] as number
        if (occupied === 0) break
        const lowest = occupied & -occupied
        const list = level * BUCKETS + 31 - Math.clz32(lowest)
        if (this.#next[list] !== list) return list
        this.#occupied[level] = occupied ^ lowest
        this.#earliest[list] = Infinity
      }
    }
    if (this.#next[FAR] !== FAR) return FAR
    this.#earliest[FAR] = Infinity
    return -1
  }

  /** The step at which a list is to be emptied. */
  #start(list: number): number {
    if (list === FAR) {
      const earliest = this.#earliest[FAR] as number
      return Math.max(this.#end, earliest - (earliest % SPAN))
    }
    const shift = ((list / BUCKETS) | 0) * BITS
    const above = (this.#low >> (shift + BITS)) << (shift + BITS)
    return this.#present - this.#low + (above | ((list % BUCKETS) << shift))
  }

  /** Moves the slots of a list to where they belong, now that the present is its start. */
  #empty(list: number): void {
    const first = this.#next[list] as number
    const last = this.#previous[list] as number
    this.#next[list] = this.#previous[list] = list
    this.#earliest[list] = Infinity
    if (list !== FAR) {
      const level = (list / BUCKETS) | 0
      this.#occupied[level] = (this.#occupied[level] as number) & ~(1 << (list % BUCKETS))
    }
    if (list < BUCKETS) return this.#append(DUE, first, last)
    for (let place = first; ;) {
      const next = this.#next[place] as number
      this.#put(place, this.#steps[place] as number)
      if (place === last) return
      place = next
    }
  }

  #moveTo(step: number): void {
    if (step < this.#present) return
    this.#present = step
    this.#low = step & LOW
    this.#end = step - this.#low + SPAN
  }
}
