import { EventSet, PollOpt } from 'miolo'

import { eachWay } from './support/drivers.ts'
import {
  accepted,
  arrival,
  connect,
  heard,
  idle,
  listen,
  nextReady,
  pair,
  say,
} from './support/sockets.ts'

const readable = EventSet.readable()
const writable = EventSet.writable()
const edge = PollOpt.edge()

eachWay('unread input is told once', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, edge)
  say(client, 'a')
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
  t.deepEqual(await idle(stage, loop), [])
})

eachWay('more input is told again, though the first was not read', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, edge)
  say(client, 'a')
  await nextReady(stage, loop)
  say(client, 'b')
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
  t.is(heard(server), 'ab')
})

eachWay('input from before the registration is told', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  say(client, 'a')
  await arrival(server, { bytes: 1 })
  loop.register(server, 1, readable, edge)
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
})

eachWay('a connection is writable once, and again when a full one has room', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(client, 1, writable, edge)
  t.deepEqual(await nextReady(stage, loop), [[1, 'Writable']])
  t.deepEqual(await idle(stage, loop), [])

  const block = Buffer.alloc(64 * 1024, 'x')
  let written = 0
  for (let count; (count = client.write(block)) !== null;) written += count
  t.deepEqual(await idle(stage, loop), [])

  let read = 0
  loop.register(server, 2, readable, edge)
  await stage.run(loop, {
    ready(loop, token) {
      if (token === 1) loop.shutdown()
      else read += heard(server).length
    },
  })
  t.true(read > 0 && read <= written)
})

eachWay('connections that wait are told once, until another comes', async (t, stage) => {
  const loop = stage.open<number>()
  const listener = listen(stage)
  loop.register(listener, 1, readable, edge)
  connect(stage, listener)
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
  t.deepEqual(await idle(stage, loop), [])
  connect(stage, listener)
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
  await accepted(stage, listener)
  await accepted(stage, listener)
  t.is(listener.accept(), null)
})

eachWay('bytes and the end are told at once; only reading on finds the end', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, edge)
  say(client, 'bye')
  client.shutdown('write')
  await arrival(server, { bytes: 3, hasEnded: true })
  const into = Buffer.alloc(64)
  const told = await nextReady(stage, loop, () => {
    t.is(server.read(into), 3, 'less than would have fitted')
  })
  t.deepEqual(told, [[1, 'Readable | Hup']])
  t.deepEqual(await idle(stage, loop), [], 'the end is not told again')
  t.is(server.read(into), 0)
})

eachWay('the peer may come, speak and go before the loop runs', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, edge)
  say(client, 'bye')
  client.close()
  await arrival(server, { bytes: 3, hasEnded: true })
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable | Hup']])
  t.is(heard(server), 'bye')
  t.is(server.read(Buffer.alloc(1)), 0)
})
