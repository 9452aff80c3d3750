import { EventSet, PollOpt } from 'miolo'

import { eachDriver, eachWay } from './support/drivers.ts'
import {
  accepted,
  arrival,
  connect,
  countDown,
  heard,
  idle,
  listen,
  nextReady,
  pair,
  type Ready,
  say,
} from './support/sockets.ts'

const readable = EventSet.readable()
const writable = EventSet.writable()
const level = PollOpt.level()

eachWay('unread input is told in every iteration, until it is read', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, level)
  say(client, 'abcdef')
  let read = ''
  await stage.run(loop, {
    ready(loop, token, events) {
      t.deepEqual([token, events], [1, readable])
      const into = Buffer.alloc(1)
      server.read(into)
      read += into.toString()
      if (read === 'abcdef') loop.shutdown()
    },
  })
  t.deepEqual(await idle(stage, loop), [])
})

eachWay('a socket that is never read is told once an iteration, for ever', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, level)
  say(client, 'a')
  let readies = 0
  let inThisIteration = 0
  await stage.run(loop, {
    ready(loop) {
      inThisIteration++
      if (++readies === 100) loop.shutdown()
    },
    tick() {
      t.is(inThisIteration, 1)
      inThisIteration = 0
    },
  })
  t.is(heard(server), 'a')
})

eachWay('new input after all was read is told again', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, level)
  for (const text of ['a', 'b', 'c']) {
    say(client, text)
    t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
    t.is(heard(server), text)
    t.deepEqual(await idle(stage, loop), [])
  }
})

eachWay('no option at all is level', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, PollOpt.empty())
  say(client, 'a')
  for (let time = 0; time < 3; time++) {
    t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
  }
})

eachWay('a listener is told until nobody waits', async (t, stage) => {
  const loop = stage.open<number>()
  const listener = listen(stage)
  loop.register(listener, 1, readable, level)
  for (let count = 0; count < 5; count++) connect(stage, listener)
  let taken = 0
  await stage.run(loop, {
    ready(loop) {
      const connection = listener.accept()
      if (connection === null) return t.fail('told, and nobody waits')
      stage.keep(connection.stream)
      if (++taken === 5) loop.shutdown()
    },
  })
  t.deepEqual(await idle(stage, loop), [])
  connect(stage, listener)
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
  await accepted(stage, listener)
})

eachWay('a connection with room is writable in every iteration', async (t, stage) => {
  const loop = stage.open<number>()
  const { client } = await pair(stage)
  loop.register(client, 1, writable, level)
  let readies = 0
  await stage.run(loop, {
    ready(loop, _, events) {
      t.is(events, writable)
      if (++readies === 10) loop.shutdown()
    },
  })
  t.is(readies, 10)
})

eachWay('a peer that has gone is told until the socket is closed', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  client.close()
  await arrival(server, { hasEnded: true })
  loop.register(server, 1, readable, level)
  const readies: Ready[] = []
  await stage.run(loop, {
    ready(loop, token, events) {
      readies.push([token, events.toString()])
      t.is(server.read(Buffer.alloc(1)), 0)
      if (readies.length < 3) return
      server.close()
      loop.timeoutMs(20, 0)
    },
    timeout: countDown,
  })
  t.deepEqual(
    readies,
    Array.from({ length: 3 }, () => [1, 'Readable | Hup']),
  )
})

eachWay('what a throwing ready left is told again at the next run', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, level)
  say(client, 'a')
  const boom = new Error('boom')
  const ready = () => {
    throw boom
  }
  t.is(await stage.run(loop, { ready }).catch((error: unknown) => error), boom)
  loop.timeoutMs(100, 0)
  let isTold = false
  await stage.run(loop, {
    ready(loop) {
      isTold = true
      loop.shutdown()
    },
    timeout: countDown,
  })
  t.true(isTold)
})

eachDriver('it goes on being told while other sockets are busy', async (t, stage) => {
  const loop = stage.open<number>()
  const quiet = await pair(stage)
  const busy = await pair(stage)
  loop.register(quiet.server, 1, readable, level)
  loop.register(busy.server, 2, readable, level)
  loop.register(busy.client, 3, readable, level)
  say(quiet.client, 'a')
  say(busy.client, 'ping')
  const counts = [0, 0, 0, 0]
  await loop.run({
    ready(loop, token) {
      counts[token]!++
      if (token === 2) say(busy.server, heard(busy.server))
      if (token === 3) say(busy.client, heard(busy.client))
      if (Math.min(counts[1]!, counts[2]!, counts[3]!) >= 200) loop.shutdown()
    },
  })
  t.is(heard(quiet.server), 'a')
})

eachWay('level prevails over edge', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, level.union(PollOpt.edge()))
  say(client, 'a')
  for (let time = 0; time < 3; time++) {
    t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
  }
})
