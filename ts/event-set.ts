import { invalidType } from './errors.ts'

const NAMES = ['Readable', 'Writable', 'Error', 'Hup'] as const

/**
 * A set of readiness: what to wait for, and what has come. mio: `EventSet`.
 *
 * There are sixteen, made once: `===` compares them, and none is allocated when an event is delivered.
 */
export class EventSet {
  /** readable 1, writable 2, error 4, hup 8; as in mio. */
  readonly bits: number

  private constructor(bits: number) {
    this.bits = bits
    Object.freeze(this)
  }

  static readonly #all = Array.from({ length: 16 }, (_, bits) => new EventSet(bits))

  /** Nothing. As an interest: nothing is delivered until `reregister`. */
  static none(): EventSet {
    return EventSet.of(0)
  }
  /** Bytes, connections or the peer's end can be read. */
  static readable(): EventSet {
    return EventSet.of(1)
  }
  /** Bytes can be written, or a connection has been made. */
  static writable(): EventSet {
    return EventSet.of(2)
  }
  /** The socket has an error: `takeError()` has it. Delivered with any interest but an empty one. */
  static error(): EventSet {
    return EventSet.of(4)
  }
  /** The peer has ended, or reset, the connection. Delivered with any interest but an empty one. */
  static hup(): EventSet {
    return EventSet.of(8)
  }
  /** All four. */
  static all(): EventSet {
    return EventSet.of(15)
  }

  /** The set of these bits. @internal */
  static of(bits: number): EventSet {
    return EventSet.#all[bits & 15] as EventSet
  }

  /** The argument, if it is one of those made here. @internal */
  static check(value: unknown, name: string): EventSet {
    if (value instanceof EventSet && EventSet.#all[value.bits & 15] === value) return value
    throw invalidType(name, 'an EventSet', value)
  }

  /** Whether the set holds readable. */
  isReadable(): boolean {
    return (this.bits & 1) !== 0
  }
  /** Whether the set holds writable. */
  isWritable(): boolean {
    return (this.bits & 2) !== 0
  }
  /** Whether the set holds error. */
  isError(): boolean {
    return (this.bits & 4) !== 0
  }
  /** Whether the set holds hup. */
  isHup(): boolean {
    return (this.bits & 8) !== 0
  }
  /** Whether the set holds nothing. */
  isNone(): boolean {
    return this.bits === 0
  }
  /** Whether the set holds all of `other`. */
  contains(other: EventSet): boolean {
    const { bits } = EventSet.check(other, 'other')
    return (this.bits & bits) === bits
  }
  /** What is in either set. mio: `|`. */
  union(other: EventSet): EventSet {
    return EventSet.of(this.bits | EventSet.check(other, 'other').bits)
  }
  /** What is in both sets. mio: `&`. */
  intersection(other: EventSet): EventSet {
    return EventSet.of(this.bits & EventSet.check(other, 'other').bits)
  }
  /** What is in this set and not in `other`. mio: `-`. */
  difference(other: EventSet): EventSet {
    return EventSet.of(this.bits & ~EventSet.check(other, 'other').bits)
  }
  /** `Readable | Hup`, or the empty string; as mio's `Debug`. */
  toString(): string {
    return NAMES.filter((_, bit) => (this.bits >> bit) & 1).join(' | ')
  }
}
