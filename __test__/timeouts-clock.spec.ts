/** How JavaScript knows what the loop's clock says. */

import test from 'ava'

import { Clock } from '../ts/bridge/clock.ts'
import { compute } from './support/compute.ts'

/** How far the loop's clock is ahead. */
const AHEAD = 5000
/** For how long the thread is held up, in milliseconds. */
const HELD_UP = 200

/** How far ahead a clock says that the loop's is. */
function ahead(clock: Clock): number {
  const before = performance.now()
  return clock.now() - before
}

test('it is never behind', (t) => {
  const clock = new Clock(() => performance.now() + AHEAD)
  t.true(ahead(clock) >= AHEAD)
})

const HOLD_UPS: [when: string, readings: number[]][] = [
  ['first', [0]],
  ['last', [2]],
  ['first and last', [0, 2]],
]

for (const [when, heldUp] of HOLD_UPS) {
  test(`a thread that is held up at the ${when} reading does not put it forward`, (t) => {
    let readings = 0
    const clock = new Clock(() => {
      if (heldUp.includes(readings++)) compute(HELD_UP)
      return performance.now() + AHEAD
    })
    t.true(ahead(clock) < AHEAD + HELD_UP, `${ahead(clock)}`)
  })
}

test('it is compared again once a second', (t) => {
  let readings = 0
  let by = AHEAD
  const clock = new Clock(() => {
    readings++
    return performance.now() + by
  })
  const first = readings
  const now = performance.now()
  by = 2 * AHEAD
  clock.keep(now + 900)
  t.is(readings, first)
  t.true(ahead(clock) < by)
  clock.keep(now + 1100)
  t.true(readings > first)
  t.true(ahead(clock) >= by)
})
