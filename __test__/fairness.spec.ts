/** A loop that floods itself lets Node have its turn, and nothing of its own starves. */

import { EventSet, PollOpt } from 'miolo'

import { compute } from './support/compute.ts'
import { eachDriver, eachWay } from './support/drivers.ts'
import { pair } from './support/sockets.ts'

/** Keeps a loop busy until it is shut down: each message sends the next. */
function flood(sender: { send(message: number): void }, width: number) {
  for (let message = 0; message < width; message++) sender.send(message)
}

eachDriver(
  "Node's timers, immediates and promises have their turn during a flood",
  async (t, { open }) => {
    const loop = open<unknown, number>()
    const sender = loop.channel()
    flood(sender, 100)
    const run = loop.run({ notify: (_, message) => sender.send(message) })
    for (let round = 0; round < 5; round++) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      await new Promise((resolve) => setImmediate(resolve))
      await Promise.resolve()
    }
    const { events } = loop.metrics()
    t.true(events.notify > 0)
    loop.shutdown()
    await run
  },
)

eachDriver('they do so during a flood of timeouts, too', async (t, { open }) => {
  const loop = open<number>()
  for (let timeout = 0; timeout < 100; timeout++) loop.timeoutMs(timeout, 0)
  const run = loop.run({ timeout: (loop, timeout) => void loop.timeoutMs(timeout, 0) })
  // On a busy machine the loop's thread may take its time to begin.
  for (let round = 0; round < 5 || loop.metrics().events.timeout === 0; round++) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.pass()
  loop.shutdown()
  await run
})

eachDriver('they do so in the middle of one long batch', async (t, { open }) => {
  const loop = open<unknown, number>({ notifyCapacity: 10_000, messagesPerTick: 10_000 })
  for (let message = 0; message < 10_000; message++) loop.channel().send(message)
  let turns = 0
  const interval = setInterval(() => turns++, 1)
  let inBatch = 0
  await loop.run({
    notify(_, message) {
      // 10 000 × 0.02 ms
      compute(0.02)
      if (message === 9999) inBatch = turns
    },
    tick: (loop) => loop.shutdown(),
  })
  clearInterval(interval)
  t.true(inBatch > 0)
})

eachDriver('two loops that flood themselves both go on', async (t, { open }) => {
  const loops = [open<unknown, number>(), open<unknown, number>()]
  const counts = [0, 0]
  await Promise.all(
    loops.map((loop, index) => {
      const sender = loop.channel()
      flood(sender, 10)
      return loop.run({
        notify(_, message) {
          sender.send(message)
          counts[index] = (counts[index] as number) + 1
          if (counts.every((count) => count > 2000)) for (const each of loops) each.shutdown()
        },
      })
    }),
  )
  t.true(counts.every((count) => count > 2000))
})

eachWay('messages do not starve timeouts, readiness or interrupts', async (t, stage) => {
  const loop = stage.open<string, number>()
  const sender = loop.channel()
  const { client, server } = await pair(stage)
  loop.register(client, 1, EventSet.readable(), PollOpt.edge())
  flood(sender, 300)
  loop.timeoutMs('t', 20)
  const seen = new Set<string>()
  await stage.run(loop, {
    notify: (_, message) => sender.send(message),
    timeout(loop) {
      seen.add('timeout')
      server.write(Buffer.from('x'))
      loop.interrupt()
    },
    ready: () => void seen.add('ready'),
    interrupted: () => void seen.add('interrupted'),
    tick(loop) {
      if (seen.size === 3) loop.shutdown()
    },
  })
  t.is(seen.size, 3)
})

eachWay('timeouts do not starve messages or readiness', async (t, stage) => {
  const loop = stage.open<number, string>()
  const { client, server } = await pair(stage)
  loop.register(client, 1, EventSet.readable(), PollOpt.edge())
  for (let timeout = 0; timeout < 300; timeout++) loop.timeoutMs(timeout, 0)
  const seen = new Set<string>()
  let count = 0
  await stage.run(loop, {
    timeout(loop, timeout) {
      loop.timeoutMs(timeout, 0)
      if (++count === 1000) {
        server.write(Buffer.from('x'))
        loop.channel().send('m')
      }
    },
    ready: () => void seen.add('ready'),
    notify: () => void seen.add('notify'),
    tick(loop) {
      if (seen.size === 2) loop.shutdown()
    },
  })
  t.is(seen.size, 2)
})

eachWay('readiness that lasts does not starve messages or timeouts', async (t, stage) => {
  const loop = stage.open<string, string>()
  const { client } = await pair(stage)
  loop.register(client, 1, EventSet.writable(), PollOpt.level())
  const seen = new Set<string>()
  let count = 0
  await stage.run(loop, {
    ready(loop) {
      if (++count !== 50) return
      loop.timeoutMs('t', 1)
      loop.channel().send('m')
    },
    timeout: () => void seen.add('timeout'),
    notify: () => void seen.add('notify'),
    tick(loop) {
      if (seen.size === 2) loop.shutdown()
    },
  })
  t.is(seen.size, 2)
})
