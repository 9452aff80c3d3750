/** interrupt ends the poll as a signal would. */

import { setImmediate as immediate } from 'node:timers/promises'

import { collect } from './support/collect.ts'
import { eachDriver, eachWay } from './support/drivers.ts'

eachDriver('interrupt wakes a loop that sleeps', async (t, { open }) => {
  const loop = open()
  const { handler, names } = collect({ tick: (loop) => loop.shutdown() })
  const run = loop.run(handler)
  await immediate()
  loop.interrupt()
  await run
  t.deepEqual(names(), ['interrupted', 'tick'])
})

eachWay('interrupt in a callback comes in a later batch', async (t, { open, run }) => {
  const loop = open<string>()
  loop.timeoutMs('t', 0)
  const { handler, names } = collect<string>({
    timeout: (loop) => loop.interrupt(),
    interrupted: (loop) => loop.shutdown(),
  })
  await run(loop, handler)
  t.deepEqual(names(), ['timeout', 'tick', 'interrupted', 'tick'])
})

eachWay('a loop can interrupt itself again and again', async (t, { open, run }) => {
  const loop = open()
  let left = 100
  loop.interrupt()
  const { handler, names } = collect({
    interrupted(loop) {
      if (--left === 0) loop.shutdown()
      else loop.interrupt()
    },
  })
  await run(loop, handler)
  t.is(names().filter((name) => name === 'interrupted').length, 100)
  t.is(names().length, 200)
})

eachDriver('interrupts that come together may merge, and none is invented', async (t, { open }) => {
  const loop = open<string>()
  let seen = 0
  const run = loop.run({
    interrupted() {
      seen++
    },
    timeout: (loop) => loop.shutdown(),
  })
  for (let each = 0; each < 10; each++) loop.interrupt()
  loop.timeoutMs('t', 50)
  await run
  t.true(seen >= 1 && seen <= 10, `${seen}`)
})

eachDriver('interrupt with nobody to hear it harms nothing', async (t, { open }) => {
  const loop = open<string>()
  loop.timeoutMs('t', 5)
  loop.interrupt()
  await loop.run({
    timeout(loop) {
      loop.shutdown()
      t.pass()
    },
  })
})
