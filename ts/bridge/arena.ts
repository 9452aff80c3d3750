/**
 * The bytes of connections: what comes is read from the inbound arena, what goes is written to the outbound one. The
 * picture stands in crates/bridge/src/arena.rs, of which these are the other ends.
 */

import { corrupt } from '../errors.ts'
import * as at from './layout.ts'

const MASK = at.ARENA_BYTES - 1
const BITS_OF_ALIGN = at.ARENA_ALIGN - 1

/** Chunks up to this length share a slab: an ArrayBuffer for each of them would cost more than its bytes. */
const SHARED_BYTES = 4096
const SLAB_BYTES = 16_384
/** Up to this length copying word by word is faster than calling for it. */
const WORDWISE_BYTES = 256

function aligned(length: number): number {
  return (length + BITS_OF_ALIGN) & ~BITS_OF_ALIGN
}

/** Overwrites bytes, so that whoever still looks at them sees that they are gone. */
export function spoil(chunk: Buffer): void {
  chunk.fill(0xdd)
}

/** Reads what has come. */
export class Inbound {
  readonly #words: Int32Array
  readonly #bytes: Buffer
  #slab = Buffer.alloc(0)
  #slabWords = new Int32Array(0)
  #slabUsed = 0

  constructor(words: Int32Array) {
    this.#words = words
    this.#bytes = Buffer.from(words.buffer, at.INBOUND * 4, at.ARENA_BYTES)
  }

  /** Bytes that are valid until they are released. */
  borrow(position: number, length: number): Buffer {
    const start = this.#start(position, length)
    return this.#bytes.subarray(start, start + length)
  }

  /** A copy of bytes, which is its receiver's own. */
  copy(position: number, length: number): Buffer {
    const start = this.#start(position, length)
    // By `copy` of Buffers: newer versions of Node take several times as long for `set`, where memory is shared.
    if (length > SHARED_BYTES) {
      const own = Buffer.allocUnsafeSlow(length)
      this.#bytes.copy(own, 0, start, start + length)
      return own
    }
    if (this.#slabUsed + length > this.#slab.length) this.#addSlab()
    const from = this.#slabUsed
    this.#slabUsed = from + aligned(length)
    if (length > WORDWISE_BYTES) {
      this.#bytes.copy(this.#slab, from, start, start + length)
    } else {
      const words = this.#words
      const slab = this.#slabWords
      // Both begin at a multiple of eight, so a word too many at the end is nobody's.
      let source = at.INBOUND + (start >> 2)
      let target = from >> 2
      for (const end = target + ((length + 3) >> 2); target < end; target++, source++) {
        slab[target] = words[source] as number
      }
    }
    return this.#slab.subarray(from, from + length)
  }

  /** Gives back all bytes up to the end of these. */
  release(position: number, length: number): void {
    Atomics.store(this.#words, at.INBOUND_HEAD, (position + aligned(length)) | 0)
  }

  #start(position: number, length: number): number {
    const start = position & MASK
    if (length < 0 || length > at.ARENA_BYTES - start) throw corrupt('the inbound arena')
    return start
  }

  #addSlab(): void {
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    this.#slabWords = new Int32Array(this.#slab.buffer)
    this.#slabUsed = 0
  }
}

/** Writes what is to be sent. */
export class Outbound {
  readonly #words: Int32Array
  readonly #bytes: Buffer
  /** Where the next span begins: a count of bytes that wraps. */
  #tail = 0
  /** The head at which the arena was empty (−1, which no head is: none), and where it was gone on from there. */
  #skippedFrom = -1
  #skippedTo = -1

  constructor(words: Int32Array) {
    this.#words = words
    this.#bytes = Buffer.from(words.buffer, at.OUTBOUND * 4, at.ARENA_BYTES)
  }

  /** How many bytes can be written in one piece; at least `least`, or 0. */
  room(least: number): number {
    const free = at.ARENA_BYTES - this.#used()
    const toEnd = at.ARENA_BYTES - (this.#tail & MASK)
    const room = Math.min(free, toEnd)
    if (room >= least) return room
    if (free - toEnd >= least) {
      this.#tail = (this.#tail + toEnd) | 0
      return free - toEnd
    }
    return 0
  }

  /** Where the next span begins. */
  position(): number {
    return this.#tail
  }

  /** Writes a string of which there is {@link room} for every encoding: its length in bytes. */
  writeString(text: string): number {
    const start = this.#tail & MASK
    const length = this.#bytes.write(text, start)
    this.#take(length)
    return length
  }

  /** Writes bytes for which there is {@link room}, and of which there really are so many. */
  writeBytes(from: Uint8Array, length: number): void {
    const bytes = this.#bytes
    let to = this.#tail & MASK
    if (length <= 32)
      for (let index = 0; index < length; index++) bytes[to++] = from[index] as number
    else bytes.set(from, to)
    this.#take(length)
  }

  #take(length: number): void {
    this.#tail = (this.#tail + aligned(length)) | 0
  }

  #used(): number {
    let head = Atomics.load(this.#words, at.OUTBOUND_HEAD)
    if (head === this.#skippedFrom) head = this.#skippedTo
    else this.#skippedFrom = -1
    const used = (this.#tail - head) >>> 0
    if (used > at.ARENA_BYTES) throw corrupt('the outbound arena')
    const start = this.#tail & MASK
    if (used === 0 && start > 0) {
      if (this.#skippedFrom === -1) this.#skippedFrom = head
      this.#tail = (this.#tail + at.ARENA_BYTES - start) | 0
      this.#skippedTo = this.#tail
    }
    return used
  }
}
