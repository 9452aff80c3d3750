/** runOnce: one iteration. */

import { performance } from 'node:perf_hooks'

import { EventSet, PollOpt } from 'miolo'

import { collect } from './support/collect.ts'
import { compute } from './support/compute.ts'
import { eachDriver } from './support/drivers.ts'
import { runCode } from './support/process.ts'
import { pair } from './support/sockets.ts'

eachDriver('runOnce delivers one batch and returns', async (t, { open }) => {
  const loop = open<string, number>({ messagesPerTick: 2 })
  for (const message of [1, 2, 3]) loop.channel().send(message)
  const { handler, calls } = collect<string, number>()
  await loop.runOnce(handler)
  t.deepEqual(calls.splice(0), [['notify', 1], ['notify', 2], ['tick']])
  await loop.runOnce(handler)
  t.deepEqual(calls.splice(0), [['notify', 3], ['tick']])
})

eachDriver('runOnce waits for something to happen', async (t, { open }) => {
  const loop = open<string, string>()
  const { handler, calls } = collect<string, string>()
  loop.timeoutMs('t', 20)
  await loop.runOnce(handler)
  t.deepEqual(calls, [['timeout', 't'], ['tick']])
})

eachDriver(
  'runOnce waits for no longer than it is told, and calls nothing',
  async (t, { open }) => {
    const loop = open<string>()
    const { handler, calls } = collect<string>()
    const started = performance.now()
    await loop.runOnce(handler, 25)
    // Node's timers count in whole milliseconds, and may begin to count up to one before.
    t.true(performance.now() - started >= 24)
    t.deepEqual(calls, [])
  },
)

eachDriver('runOnce with 0 looks, and does not wait', async (t, { driver }) => {
  // A process of its own: what hangs here hangs the thread.
  const outcome = await runCode(
    `import { EventLoop } from 'miolo'
    const loop = new EventLoop({ driver: '${driver}' })
    const calls = []
    const handler = { notify: (_, m) => calls.push(m), timeout: (_, t) => calls.push(t), tick: () => calls.push('tick') }
    await loop.runOnce(handler, 0)
    loop.timeoutMs('far', 1e6)
    await loop.runOnce(handler, 0)
    loop.channel().send('message')
    await loop.runOnce(handler, 0)
    await loop.runOnce(handler, 0)
    console.log(calls.join(' '))`,
    { deadlineMs: 15_000 },
  )
  t.like(outcome, { code: 0, stdout: 'message tick\n' })
})

eachDriver(
  'runOnce with 0 finds readiness, a message and a timeout that are there',
  async (t, stage) => {
    const loop = stage.open<string, string>()
    const { client, server } = await pair(stage)
    server.write(Buffer.from('x'))
    loop.register(client, 3, EventSet.readable(), PollOpt.edge())
    loop.channel().send('m')
    loop.timeoutMs('t', 0)
    const { handler, calls } = collect<string, string>()
    while (calls.length < 4) await loop.runOnce(handler, 0)
    const without = calls.filter(([name]) => name !== 'tick')
    t.deepEqual(without, [
      ['ready', 3, 'Readable'],
      ['notify', 'm'],
      ['timeout', 't'],
    ])
  },
)

eachDriver('runOnce neither heeds nor clears a shutdown before it', async (t, { open }) => {
  const loop = open<string, number>()
  loop.shutdown()
  loop.channel().send(1)
  const { handler, calls } = collect<string, number>()
  await loop.runOnce(handler)
  t.deepEqual(calls.splice(0), [['notify', 1], ['tick']])
  t.false(loop.isRunning())
  loop.channel().send(2)
  await loop.run(handler)
  t.deepEqual(calls, [], 'the next run returns at once')
})

eachDriver('a shutdown within runOnce makes the next run return at once', async (t, { open }) => {
  const loop = open<string, number>()
  loop.channel().send(1)
  await loop.runOnce({ notify: (loop) => loop.shutdown() })
  t.false(loop.isRunning())
  loop.channel().send(2)
  const { handler, calls } = collect<string, number>({ notify: (loop) => loop.shutdown() })
  await loop.run(handler)
  t.deepEqual(calls, [])
})

eachDriver('a limit that passes in the middle of a batch does not cut it', async (t, { open }) => {
  const loop = open<string, number>({ messagesPerTick: 64 })
  for (let message = 0; message < 64; message++) loop.channel().send(message)
  const { handler, names } = collect<string, number>({
    notify() {
      // Long enough together for the loop to let Node have a turn, in which the limit passes.
      compute(1)
    },
  })
  await loop.runOnce(handler, 10)
  t.is(names().filter((name) => name === 'notify').length, 64)
  t.is(names().at(-1), 'tick')
})

eachDriver(
  'a limit that passes before Node has had a turn does not keep back what is there',
  async (t, stage) => {
    const loop = stage.open<string, string>()
    const { handler, names } = collect<string, string>()
    loop.channel().send('m')
    const once = loop.runOnce(handler, 5)
    compute(20)
    await once
    t.deepEqual(names(), ['notify', 'tick'])
    loop.timeoutMs('t', 0)
    const again = loop.runOnce(handler, 5)
    compute(20)
    await again
    t.deepEqual(names(), ['notify', 'tick', 'timeout', 'tick'])
    // A thread that polls may be late itself.
    if (stage.driver === 'thread') return
    const { client } = await pair(stage)
    loop.register(client, 1, EventSet.writable(), PollOpt.edge())
    const last = loop.runOnce(handler, 5)
    compute(20)
    await last
    t.deepEqual(names().slice(4), ['ready', 'tick'])
  },
)

eachDriver('what a callback of runOnce throws rejects it', async (t, { open }) => {
  const loop = open<string>()
  loop.timeoutMs('t', 0)
  const failing = loop.runOnce({
    timeout() {
      throw new Error('on purpose')
    },
  })
  await t.throwsAsync(failing, { message: 'on purpose' })
})

eachDriver('close ends a runOnce that waits', async (t, { open }) => {
  const loop = open()
  const waiting = loop.runOnce({}, 1_000_000)
  setImmediate(() => loop.close())
  await waiting
  t.false(loop.isRunning())
})

eachDriver('runOnce a thousand times is a run', async (t, { open }) => {
  const loop = open<number>()
  const order: number[] = []
  for (let index = 0; index < 1000; index++) {
    loop.timeoutMs(index, 0)
    await loop.runOnce({ timeout: (_, timeout) => void order.push(timeout) }, 10_000)
  }
  t.deepEqual(
    order,
    Array.from({ length: 1000 }, (_, index) => index),
  )
})
