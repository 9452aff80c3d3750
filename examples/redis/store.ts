// Keys and what they hold. A key is looked up by bytes where they lie, so that no string has to be made
// of a key that is there; a Map would want one for each request.

import { latin1 } from './resp.ts'

/** A string holds one byte in each character; so do the members of everything else. */
export type Value = string | List | Set<string> | Map<string, string>

/** A clock, and timeouts by it. */
export interface Timers {
  /** Milliseconds since any beginning; no one sets this clock. */
  now(): number
  /**
   * Has `store.expire(key)` called in `ms` milliseconds; returns what `clear` wants. Where there is no
   * room for another it may do nothing: then the key goes when it is next asked for.
   */
  set(key: Key, ms: number): unknown
  clear(handle: unknown): void
}

interface Expiry {
  deadline: number
  handle: unknown
}

export class Key {
  readonly name: string
  readonly hash: number
  value: Value
  /** When the key goes, and its timeout; a key that has none stays. */
  expiry: Expiry | null = null
  /** The next key in the same place of the table. */
  next: Key | null

  constructor(name: string, hash: number, value: Value, next: Key | null) {
    this.name = name
    this.hash = hash
    this.value = value
    this.next = next
  }
}

/** The longest that setTimeout can wait; a later deadline takes several timeouts. */
const LONGEST_MS = 2 ** 31 - 1
const FEWEST_PLACES = 1024

export class Store {
  /** How many keys there are, and how many of them expire. */
  size = 0
  expiring = 0
  readonly #timers: Timers
  /** Lists of keys by the last bits of their hashes. */
  #table: (Key | null)[] = new Array<Key | null>(FEWEST_PLACES).fill(null)
  #mask = FEWEST_PLACES - 1

  constructor(timers: Timers) {
    this.#timers = timers
  }

  /** The key that is spelled in `bytes` from `start` to `end`. */
  find(bytes: Buffer, start: number, end: number): Key | null {
    const hash = hashOf(bytes, start, end)
    for (let key = this.#table[hash & this.#mask]; key !== null; key = key.next) {
      if (key.hash === hash && isSpelled(key.name, bytes, start, end)) {
        // A timeout comes late when there is much to do. Nobody sees that but those who ask for DBSIZE.
        if (key.expiry !== null && key.expiry.deadline <= this.#timers.now()) {
          this.delete(key)
          return null
        }
        return key
      }
    }
    return null
  }

  /** Adds a key that is not there. */
  add(bytes: Buffer, start: number, end: number, value: Value): Key {
    if (this.size === this.#table.length) this.#grow()
    const hash = hashOf(bytes, start, end)
    const place = hash & this.#mask
    const key = new Key(latin1(bytes, start, end), hash, value, this.#table[place])
    this.#table[place] = key
    this.size++
    return key
  }

  delete(key: Key): void {
    this.persist(key)
    const place = key.hash & this.#mask
    let before = this.#table[place] as Key
    if (before === key) this.#table[place] = key.next
    else {
      while (before.next !== key) before = before.next as Key
      before.next = key.next
    }
    this.size--
  }

  /** Has a key go in so many milliseconds; fewer than 1: now. */
  expireIn(key: Key, ms: number): void {
    if (ms <= 0) return this.delete(key)
    this.persist(key)
    const handle = this.#timers.set(key, Math.min(ms, LONGEST_MS))
    key.expiry = { deadline: this.#timers.now() + ms, handle }
    this.expiring++
  }

  /** Has a key stay. False: it would have stayed. */
  persist(key: Key): boolean {
    if (key.expiry === null) return false
    this.#timers.clear(key.expiry.handle)
    key.expiry = null
    this.expiring--
    return true
  }

  /** The milliseconds that a key still has; −1: it stays. */
  remaining(key: Key): number {
    if (key.expiry === null) return -1
    return Math.max(0, Math.ceil(key.expiry.deadline - this.#timers.now()))
  }

  /** The timeout of a key is due. */
  expire(key: Key): void {
    const { expiry } = key
    if (expiry === null) return
    const ms = expiry.deadline - this.#timers.now()
    // It was too far away for one timeout, or this one has come early, as Node's do by a millisecond.
    if (ms > 0) expiry.handle = this.#timers.set(key, Math.min(ms, LONGEST_MS))
    else this.delete(key)
  }

  clear(): void {
    for (let key of this.#table) for (; key !== null; key = key.next) this.persist(key)
    this.#table = new Array<Key | null>(FEWEST_PLACES).fill(null)
    this.#mask = FEWEST_PLACES - 1
    this.size = 0
  }

  #grow(): void {
    const table = new Array<Key | null>(2 * this.#table.length).fill(null)
    this.#mask = table.length - 1
    for (let key of this.#table) {
      while (key !== null) {
        const { next } = key
        const place = key.hash & this.#mask
        key.next = table[place]
        table[place] = key
        key = next
      }
    }
    this.#table = table
  }
}

// Not the same in any two processes, so that nobody can find keys that share one place and make the
// search for them long.
const [SEED, RANDOM] = crypto.getRandomValues(new Int32Array(2))
const FACTOR = RANDOM | 1

function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = SEED
  for (let at = start; at < end; at++) {
    hash = Math.imul(hash ^ bytes[at], FACTOR)
    // The product's high bits depend on more than its low ones, and those are what the table uses.
    hash ^= hash >>> 15
  }
  return hash
}

function isSpelled(name: string, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false
  // The hashes are the same, so the names are, but for one in billions: a loop that does not ask each
  // time whether to end takes half the time.
  let difference = 0
  for (let at = 0; at < name.length; at++) difference |= name.charCodeAt(at) ^ bytes[start + at]
  return difference === 0
}

/** Fast at both ends: two arrays back to back. */
export class List {
  /** What stands before `#back`, the first last. */
  #front: string[] = []
  #back: string[] = []

  get length(): number {
    return this.#front.length + this.#back.length
  }

  at(index: number): string | undefined {
    const fromBack = index - this.#front.length
    return fromBack < 0 ? this.#front[-1 - fromBack] : this.#back[fromBack]
  }

  unshift(value: string): void {
    this.#front.push(value)
  }

  push(value: string): void {
    this.#back.push(value)
  }

  shift(): string | undefined {
    // Half of the other side, so that however one alternates, each value moves a few times at most.
    if (this.#front.length === 0) {
      this.#front = this.#back.splice(0, Math.ceil(this.#back.length / 2)).reverse()
    }
    return this.#front.pop()
  }

  pop(): string | undefined {
    if (this.#back.length === 0) {
      this.#back = this.#front.splice(0, Math.ceil(this.#front.length / 2)).reverse()
    }
    return this.#back.pop()
  }
}
