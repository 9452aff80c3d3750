/** What a loop tells of itself. */

import { EventSet, LoopError, PollOpt } from 'miolo'

import { compute } from './support/compute.ts'
import { connected } from './support/connected.ts'
import { eachDriver, eachWay } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'

eachDriver('a new loop has done nothing', (t, { open, driver }) => {
  const { ring, ...rest } = open({ eventCapacity: 64 }).metrics()
  t.deepEqual(rest, {
    iterations: 0,
    events: { ready: 0, notify: 0, timeout: 0, interrupted: 0 },
    doorbells: { toJs: 0, toLoop: 0 },
    turner: driver === 'thread' ? 'thread' : 'js',
    handovers: 0,
    pollTimeMs: 0,
    dispatchTimeMs: 0,
  })
  t.deepEqual(ring, { depth: 0, highWater: 0, capacity: 64 })
})

eachWay('events are counted by kind', async (t, stage) => {
  const loop = stage.open<number, number>()
  const { client, server } = await connected(stage)
  loop.register(client, 1, EventSet.readable(), PollOpt.edge())
  server.write(Buffer.from('x'))
  for (let message = 0; message < 5; message++) loop.channel().send(message)
  for (let timeout = 0; timeout < 3; timeout++) loop.timeoutMs(timeout, 0)
  loop.interrupt()
  const left = { ready: 1, notify: 5, timeout: 3, interrupted: 1 }
  const came = (kind: keyof typeof left) => {
    left[kind]--
    if (Object.values(left).every((count) => count === 0)) loop.shutdown()
  }
  await stage.run(loop, {
    ready: () => came('ready'),
    notify: () => came('notify'),
    timeout: () => came('timeout'),
    interrupted: () => came('interrupted'),
  })
  const metrics = loop.metrics()
  t.deepEqual(metrics.events, { ready: 1, notify: 5, timeout: 3, interrupted: 1 })
  t.true(metrics.iterations >= 1)
  t.true(metrics.ring.highWater >= 2 && metrics.ring.highWater <= metrics.ring.capacity)
  t.true(metrics.ring.depth >= 0)
  t.true(metrics.dispatchTimeMs > 0)
  t.true(metrics.pollTimeMs >= 0)
})

eachWay('a sleep is poll time, a slow callback is dispatch time', async (t, { open, run }) => {
  const loop = open<string>()
  loop.timeoutMs('t', 60)
  await run(loop, {
    timeout(loop) {
      compute(20)
      loop.shutdown()
    },
  })
  const { dispatchTimeMs, pollTimeMs, doorbells } = loop.metrics()
  t.true(dispatchTimeMs >= 20)
  t.true(pollTimeMs >= 0)
  t.true(doorbells.toJs >= 0 && doorbells.toLoop >= 0)
})

eachDriver('a flood costs far fewer doorbells than events', async (t, { open }) => {
  const loop = open<unknown, number>()
  const sender = loop.channel()
  const count = 20_000
  sender.send(0)
  let received = 0
  await loop.run({
    notify(loop) {
      if (++received === count) loop.shutdown()
      else sender.send(received)
    },
  })
  const { doorbells, events } = loop.metrics()
  t.is(events.notify, count)
  t.true(doorbells.toJs <= count / 10, `${doorbells.toJs}`)
  t.true(doorbells.toLoop <= count / 10, `${doorbells.toLoop}`)
})

eachWay('metrics may be read in a callback', async (t, { open, run }) => {
  const loop = open<number>()
  loop.timeoutMs(1, 0)
  await run(loop, {
    timeout(loop) {
      t.is(loop.metrics().events.timeout, 1)
      loop.shutdown()
    },
  })
})

eachDriver('a closed loop has no metrics', (t, { open }) => {
  const loop = open()
  loop.close()
  throwsCode(t, () => loop.metrics(), 'ERR_MIOLO_CLOSED', LoopError)
})
