import { invalidType } from './errors.ts'

const EDGE = 0x20
const LEVEL = 0x40
const ONESHOT = 0x80
const NAMES = [
  [EDGE, 'Edge-Triggered'],
  [LEVEL, 'Level-Triggered'],
  [ONESHOT, 'OneShot'],
] as const

/**
 * How readiness is told: once per change (edge), again in every iteration for as long as it lasts (level), or once and
 * then not until `reregister` (oneshot). Level prevails over edge; without edge or oneshot it is level.
 * mio: `PollOpt`.
 *
 * There are eight, made once: `===` compares them.
 */
export class PollOpt {
  /** edge 0x20, level 0x40, oneshot 0x80; as in mio. */
  readonly bits: number

  private constructor(bits: number) {
    this.bits = bits
    Object.freeze(this)
  }

  static readonly #all = Array.from({ length: 8 }, (_, index) => new PollOpt(index * EDGE))

  static #of(bits: number): PollOpt {
    return PollOpt.#all[bits / EDGE] as PollOpt
  }

  /** No option, which is level. */
  static empty(): PollOpt {
    return PollOpt.#of(0)
  }
  /**
   * Told when readiness comes: read until `null` or 0, and write until `null`. A short read will do only where `events`
   * had no hang-up, which is not told again.
   */
  static edge(): PollOpt {
    return PollOpt.#of(EDGE)
  }
  /** Told in every iteration for as long as readiness lasts. */
  static level(): PollOpt {
    return PollOpt.#of(LEVEL)
  }
  /** Told once, and again after the next `reregister`. */
  static oneshot(): PollOpt {
    return PollOpt.#of(ONESHOT)
  }
  /** All three: oneshot. */
  static all(): PollOpt {
    return PollOpt.#of(EDGE | LEVEL | ONESHOT)
  }

  /** The argument, if it is one of those made here. @internal */
  static check(value: unknown, name: string): PollOpt {
    if (value instanceof PollOpt && PollOpt.#all[value.bits / EDGE] === value) return value
    throw invalidType(name, 'a PollOpt', value)
  }

  /** Whether the options hold edge. */
  isEdge(): boolean {
    return (this.bits & EDGE) !== 0
  }
  /** Whether the options hold level. */
  isLevel(): boolean {
    return (this.bits & LEVEL) !== 0
  }
  /** Whether the options hold oneshot. */
  isOneshot(): boolean {
    return (this.bits & ONESHOT) !== 0
  }
  /** Whether the options hold all of `other`. */
  contains(other: PollOpt): boolean {
    const { bits } = PollOpt.check(other, 'other')
    return (this.bits & bits) === bits
  }
  /** What is in either. mio: `|`. */
  union(other: PollOpt): PollOpt {
    return PollOpt.#of(this.bits | PollOpt.check(other, 'other').bits)
  }
  /** What is in both. mio: `&`. */
  intersection(other: PollOpt): PollOpt {
    return PollOpt.#of(this.bits & PollOpt.check(other, 'other').bits)
  }
  /** What is in these options and not in `other`. mio: `-`. */
  difference(other: PollOpt): PollOpt {
    return PollOpt.#of(this.bits & ~PollOpt.check(other, 'other').bits)
  }
  /** `Edge-Triggered | OneShot`, or the empty string; as mio's `Debug`. */
  toString(): string {
    return NAMES.filter(([bit]) => (this.bits & bit) !== 0)
      .map(([, name]) => name)
      .join(' | ')
  }
}
