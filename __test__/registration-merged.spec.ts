import { EventSet, PollOpt } from 'miolo'

import { eachDriver, eachWay } from './support/drivers.ts'
import { arrival, heard, idle, nextReady, pair, say } from './support/sockets.ts'

eachWay('what came together is one ready', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, EventSet.all(), PollOpt.edge())
  say(client, 'a')
  client.close()
  await arrival(server, { bytes: 1, hasEnded: true })
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable | Writable | Hup']])
  t.deepEqual(await idle(stage, loop), [])
})

eachDriver('what comes while JavaScript is busy is merged', async (t, { driver, ...stage }) => {
  const loop = stage.open<number>({ driver })
  const { client, server } = await pair({ driver, ...stage })
  loop.register(server, 1, EventSet.readable(), PollOpt.edge())
  say(client, 'a')
  const readies: string[] = []
  await loop.run({
    ready(loop, _, events) {
      readies.push(events.toString())
      if (events.isHup()) return loop.shutdown()
      if (readies.length > 1) return
      for (const text of 'bcdefgh') {
        say(client, text)
        // Time for the loop to see each of them by itself.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
      }
      client.close()
    },
  })
  // The end may come while the last of the bytes are being told.
  t.true(readies.length <= 3, readies.join())
  t.is(readies[0], 'Readable')
})

eachWay('no socket is told twice in one iteration', async (t, stage) => {
  const loop = stage.open<number>()
  const pairs = await Promise.all(Array.from({ length: 8 }, () => pair(stage)))
  for (const [index, { client, server }] of pairs.entries()) {
    loop.register(server, index, EventSet.all(), index % 2 ? PollOpt.edge() : PollOpt.level())
    say(client, 'a')
  }
  let told = new Set<number>()
  let iterations = 0
  await stage.run(loop, {
    ready(_, token) {
      t.false(told.has(token))
      told.add(token)
      const { client, server } = pairs[token]!
      heard(server)
      // New readiness for this one and another, from within the iteration.
      say(client, 'b')
      say(pairs[(token + 3) % pairs.length]!.client, 'c')
    },
    tick(loop) {
      told = new Set()
      if (++iterations === 300) loop.shutdown()
    },
  })
  t.is(iterations, 300)
})
