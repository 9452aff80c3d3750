/** The wheel that timeouts lie on, against a list of them: the time is a parameter. */

import test from 'ava'
import fc from 'fast-check'

import { Wheel } from '../ts/bridge/wheel.ts'

const CAPACITY = 64

/** Near, at the borders of levels, and beyond all of them. */
const steps = fc.oneof(
  fc.nat(3),
  fc.nat(100),
  fc.nat(2 ** 11),
  fc.nat(2 ** 20),
  fc.integer({ min: 0, max: 54 }).chain((bits) => {
    return fc.integer({ min: -1, max: 1 }).map((more) => Math.max(0, 2 ** bits + more))
  }),
)

interface Act {
  kind: 'set' | 'remove' | 'take' | 'advance'
  /** How far ahead. */
  steps: number
  /** Which of those that are there. */
  which: number
}

const act: fc.Arbitrary<Act> = fc.record({
  kind: fc.constantFrom('set', 'set', 'set', 'remove', 'take', 'advance'),
  steps,
  which: fc.nat(CAPACITY),
})

/** What a wheel promises, in the plainest way: the slots in the order in which they were put in. */
class Model {
  present = 0
  waiting: { slot: number; step: number }[] = []
  due: number[] = []

  set(slot: number, step: number) {
    this.waiting.push({ slot, step: Math.max(step, this.present) })
  }

  remove(slot: number) {
    this.waiting = this.waiting.filter((each) => each.slot !== slot)
    this.due = this.due.filter((each) => each !== slot)
  }

  advance(now: number) {
    this.present = Math.max(this.present, now)
    const ripe = this.waiting.filter(({ step }) => step <= this.present)
    this.waiting = this.waiting.filter(({ step }) => step > this.present)
    this.due.push(...ripe.toSorted((a, b) => a.step - b.step).map(({ slot }) => slot))
  }

  earliest(): number {
    return Math.min(...this.waiting.map(({ step }) => step))
  }
}

/** A wheel and a model that are asked the same. */
class Both {
  readonly wheel = new Wheel(CAPACITY)
  readonly model = new Model()
  removed = 0
  readonly #free = Array.from({ length: CAPACITY }, (_, slot) => slot)

  do(given: Act) {
    const { wheel, model } = this
    const used = [...model.waiting.map(({ slot }) => slot), ...model.due]
    if (given.kind === 'set') {
      const slot = this.#free.shift()
      if (slot === undefined) return
      wheel.set(slot, model.present + given.steps)
      model.set(slot, model.present + given.steps)
    } else if (given.kind === 'advance') {
      // No loop lives to see more.
      const now = model.present + Math.min(given.steps, 2 ** 40)
      wheel.advance(now)
      model.advance(now)
    } else if (given.kind === 'take') {
      if (model.due.length > 0) this.take()
    } else if (used.length > 0) {
      const slot = used[given.which % used.length] as number
      wheel.remove(slot)
      model.remove(slot)
      this.#free.push(slot)
      this.removed++
    }
    if (wheel.hasDue() !== model.due.length > 0) throw new Error('one of them has something due')
    if (wheel.earliest > model.earliest()) throw new Error('too late')
  }

  take() {
    const slot = this.wheel.takeDue()
    const expected = this.model.due.shift()
    if (slot !== expected) throw new Error(`${slot} came, and not ${expected}`)
    this.#free.push(slot)
  }

  /** Goes from one time that the wheel gives to the next, until all have come: how often for nothing. */
  finish(): number {
    let inVain = 0
    for (;;) {
      while (this.model.due.length > 0) this.take()
      if (this.wheel.hasDue()) throw new Error('something is due that is not there')
      const now = this.wheel.earliest
      if (now === Infinity) return inVain
      this.wheel.advance(now)
      this.model.advance(now)
      if (!this.wheel.hasDue()) inVain++
    }
  }
}

test('a wheel does as a sorted list does', (t) => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
      const both = new Both()
      for (const each of acts) both.do(each)
    }),
    { numRuns: 1500 },
  )
  t.pass()
})

test('the earliest step is exact where nothing was taken out', (t) => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 100 }), (acts) => {
      const both = new Both()
      for (const each of acts) {
        if (each.kind === 'remove') continue
        both.do(each)
        t.is(both.wheel.earliest, both.model.earliest())
      }
    }),
    { numRuns: 500 },
  )
})

test('whoever goes by the earliest step comes in vain only for what was taken out', (t) => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 120 }), (acts) => {
      const both = new Both()
      for (const each of acts) both.do(each)
      const inVain = both.finish()
      t.is(both.model.waiting.length, 0)
      // At most once for each level on its way down, and once far away.
      t.true(inVain <= 8 * both.removed, `${inVain} times, ${both.removed} removed`)
    }),
    { numRuns: 500 },
  )
})
