/** What a loop tells of itself. */

import { performance } from 'node:perf_hooks'
import { setImmediate as immediate } from 'node:timers/promises'

import test from 'ava'
import { EventLoop, EventSet, LoopError, PollOpt } from 'miolo'

import { compute } from './support/compute.ts'
import { within } from './support/deadline.ts'
import { eachDriver, eachWay, onLoopThread } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { TestWorker } from './support/process.ts'
import { pair, say } from './support/sockets.ts'

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
  const { client, server } = await pair(stage)
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
  t.true(metrics.dispatchTimeMs > 0)
  t.true(metrics.pollTimeMs > 0)
})

eachWay('the ring is as deep as what waits in it', async (t, stage) => {
  const loop = stage.open<number>()
  for (let token = 1; token <= 3; token++) {
    const { client } = await pair(stage)
    loop.register(client, token, EventSet.writable(), PollOpt.edge())
  }
  const depths: number[] = []
  await stage.run(loop, {
    ready: (loop) => void depths.push(loop.metrics().ring.depth),
    tick: (loop) => loop.shutdown(),
  })
  // All are ready before the run, so they come in one batch, which waits with its tick until all have been delivered.
  t.deepEqual(depths, [4, 4, 4])
  t.like(loop.metrics().ring, { depth: 0, highWater: 4 })
})

eachWay(
  'any number of timeouts that are due take no more room in the ring than one',
  async (t, stage) => {
    const loop = stage.open<number>()
    for (let timeout = 1; timeout <= 300; timeout++) loop.timeoutMs(timeout, 0)
    compute(3)
    let delivered = 0
    await stage.run(loop, {
      timeout: () => void delivered++,
      tick: (loop) => loop.shutdown(),
    })
    t.is(delivered, 300)
    // A call for them and its tick; twice, where JavaScript has asked again before it could see the first.
    const { highWater } = loop.metrics().ring
    t.true(highWater >= 2 && highWater <= 4, `${highWater}`)
  },
)

eachWay('a sleep is poll time, a slow callback is dispatch time', async (t, stage) => {
  const loop = stage.open<number>()
  const started = performance.now()
  loop.timeoutMs(3, 60)
  await stage.run(loop, {
    timeout(loop, left) {
      compute(20)
      if (left === 0) loop.shutdown()
      else loop.timeoutMs(left - 1, 60)
    },
  })
  const elapsed = performance.now() - started
  const { dispatchTimeMs, pollTimeMs, handovers } = loop.metrics()
  t.true(dispatchTimeMs >= 4 * 20 && dispatchTimeMs <= elapsed, `${dispatchTimeMs}`)
  // One of the four sleeps at least, wherever a busy machine has spent the time of the others.
  const told = `${pollTimeMs} of ${elapsed}`
  if (stage.way === 'runSync') {
    t.true(pollTimeMs >= 60 && pollTimeMs + dispatchTimeMs <= elapsed, told)
  } else if (stage.driver === 'thread') {
    t.true(pollTimeMs >= 60 && pollTimeMs <= elapsed, told)
  } else if (handovers === 0) {
    // It is Node that has slept.
    t.true(pollTimeMs < 60, told)
  }
})

eachDriver('an event rings for a JS thread that sleeps beside the loop', async (t, stage) => {
  const loop = stage.open()
  const { client, server } = await pair(stage)
  loop.register(client, 1, EventSet.readable(), PollOpt.edge())
  const run = loop.run({ ready: (loop) => loop.shutdown() })
  // By then it has seen that there is nothing to deliver, and sleeps.
  await immediate()
  t.is(loop.metrics().doorbells.toJs, 0)
  say(server, 'x')
  await run
  const { doorbells, handovers } = loop.metrics()
  // A JS thread that turns the loop itself needs no bell, unless somebody has relieved it.
  if (handovers === 0) t.is(doorbells.toJs, stage.driver === 'thread' ? 1 : 0)
})

eachDriver('a message of another thread rings for a JS thread that sleeps', async (t, stage) => {
  const loop = stage.open<unknown, string>()
  const worker = stage.keep(
    TestWorker.code(
      `const { Sender } = require('miolo')
      const { workerData, parentPort } = require('node:worker_threads')
      const sender = Sender.from(workerData)
      parentPort.once('message', (message) => sender.send(message))
      parentPort.postMessage('ready')`,
      { workerData: loop.channel().share(), execArgv: [] },
    ),
  )
  t.is(await worker.message(), 'ready')
  let rung = 0
  const run = loop.run({
    notify(loop) {
      rung = loop.metrics().doorbells.toJs
      loop.shutdown()
    },
  })
  await immediate()
  t.is(loop.metrics().doorbells.toJs, 0)
  worker.worker.postMessage('message')
  await run
  // A loop thread that has only just started may take the message in meanwhile, and ring itself once it has a record.
  t.true(rung >= 1 && rung <= 2, `${rung}`)
})

test.serial('an earlier deadline rings for a loop thread that sleeps', async (t) => {
  using loop = new EventLoop<number>({ driver: 'thread' })
  const run = loop.run({})
  await within('the doorbell', async () => {
    // It falls asleep when it does: each deadline is earlier than the one it may know of.
    for (let far = 1e9; loop.metrics().doorbells.toLoop === 0; far--) {
      loop.timeoutMs(far, far)
      await immediate()
    }
  })
  t.is(loop.metrics().events.timeout, 0)
  loop.shutdown()
  await run
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

onLoopThread('nobody rings for JavaScript while it is awake', async (t, stage) => {
  const loop = stage.open<string>()
  const count = 50
  const pairs: Awaited<ReturnType<typeof pair>>[] = []
  for (let token = 0; token < count; token++) {
    const each = await pair(stage)
    loop.register(each.client, token, EventSet.readable(), PollOpt.edge())
    pairs.push(each)
  }
  let left = count
  loop.timeoutMs('begin', 1)
  await stage.run(loop, {
    timeout(loop) {
      const { doorbells, ring } = loop.metrics()
      for (const [index, { server }] of pairs.entries()) {
        server.write(Buffer.from('x'))
        // The loop thread tells of each by itself.
        while (loop.metrics().ring.depth <= ring.depth + index);
      }
      t.is(loop.metrics().doorbells.toJs, doorbells.toJs)
    },
    ready(loop) {
      if (--left === 0) loop.shutdown()
    },
  })
  t.is(left, 0)
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
