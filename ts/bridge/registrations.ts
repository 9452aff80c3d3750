/** The sockets of a loop, by slot: what the user calls them, and how they are told. */

import type { Registrable } from '../net/evented.ts'
import type { Token } from '../handler.ts'
import { Slots } from './slots.ts'

/** As wide as the generation in a record. */
const GENERATION_BITS = 24

export class Registrations {
  readonly #slots: Slots
  readonly #tokens: Token[] = []
  readonly #level: boolean[] = []
  readonly #sources: (Registrable | undefined)[] = []

  constructor(capacity: number) {
    this.#slots = new Slots(capacity, GENERATION_BITS)
  }

  isFull(): boolean {
    return this.#slots.used === this.#slots.capacity
  }

  add(source: Registrable): number {
    const slot = this.#slots.take()
    this.#sources[slot] = source
    return slot
  }

  /** What {@link restore} brings back. */
  state(slot: number): { token: Token; level: boolean; generation: number } {
    return {
      token: this.token(slot),
      level: this.isLevel(slot),
      generation: this.generation(slot),
    }
  }

  restore(slot: number, { token, level, generation }: ReturnType<Registrations['state']>): void {
    this.set(slot, token, level)
    this.#slots.generations[slot] = generation
  }

  set(slot: number, token: Token, level: boolean): void {
    this.#tokens[slot] = token
    this.#level[slot] = level
  }

  generation(slot: number): number {
    return this.#slots.generations[slot] as number
  }

  renew(slot: number): number {
    return this.#slots.renew(slot)
  }

  remove(slot: number): void {
    this.#sources[slot] = undefined
    this.#slots.release(slot)
  }

  isCurrent(slot: number, generation: number): boolean {
    return (generation & 1) === 1 && this.#slots.generations[slot] === generation
  }

  token(slot: number): Token {
    return this.#tokens[slot] as Token
  }

  isLevel(slot: number): boolean {
    return this.#level[slot] as boolean
  }

  /** The sockets that are registered. */
  *sources(): Generator<Registrable> {
    for (const source of this.#sources) if (source !== undefined) yield source
  }
}
