import { EventSet, PollOpt } from 'miolo'

import { eachWay } from './support/drivers.ts'
import { arrival, connect, heard, idle, listen, nextReady, pair, say } from './support/sockets.ts'

const readable = EventSet.readable()
const writable = EventSet.writable()
const oneshot = PollOpt.oneshot()

for (const opt of [oneshot, oneshot.union(PollOpt.edge()), oneshot.union(PollOpt.level())]) {
  eachWay(`${opt}: told once, whatever else comes, until reregister`, async (t, stage) => {
    const loop = stage.open<number>()
    const { client, server } = await pair(stage)
    loop.register(server, 1, readable, opt)
    say(client, 'a')
    t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
    say(client, 'b')
    client.shutdown('write')
    t.deepEqual(await idle(stage, loop), [])
    await arrival(server, { bytes: 2, hasEnded: true })
    loop.reregister(server, 2, readable, opt)
    t.deepEqual(await nextReady(stage, loop), [[2, 'Readable | Hup']])
    t.is(heard(server), 'ab')
    t.deepEqual(await idle(stage, loop), [])
  })
}

eachWay('reregister tells again what was not read', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, oneshot)
  say(client, 'a')
  for (let token = 1; token <= 5; token++) {
    t.deepEqual(await nextReady(stage, loop), [[token, 'Readable']])
    loop.reregister(server, token + 1, readable, oneshot)
  }
  t.is(heard(server), 'a')
})

eachWay('reregister of a socket with nothing to tell waits for something', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, oneshot)
  say(client, 'a')
  await nextReady(stage, loop)
  t.is(heard(server), 'a')
  loop.reregister(server, 1, readable, oneshot)
  t.deepEqual(await idle(stage, loop), [])
  say(client, 'b')
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
})

eachWay('each of a request and its reply has its own shot', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  const order: string[] = []
  loop.register(server, 1, readable, oneshot)
  say(client, 'ask')
  await stage.run(loop, {
    ready(loop, token, events) {
      order.push(`${token} ${events}`)
      if (token === 1) {
        t.is(heard(server), 'ask')
        loop.reregister(server, 2, writable, oneshot)
      } else if (token === 2) {
        say(server, 'answer')
        loop.register(client, 3, readable, oneshot)
      } else {
        t.is(heard(client), 'answer')
        loop.shutdown()
      }
    },
  })
  t.deepEqual(order, ['1 Readable', '2 Writable', '3 Readable'])
})

eachWay(
  'a oneshot listener is told of the second connection after reregister',
  async (t, stage) => {
    const loop = stage.open<number>()
    const listener = listen(stage)
    loop.register(listener, 1, readable, oneshot)
    connect(stage, listener)
    t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
    const first = listener.accept()
    t.truthy(first)
    first?.stream.close()
    connect(stage, listener)
    t.deepEqual(await idle(stage, loop), [])
    loop.reregister(listener, 1, readable, oneshot)
    t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
  },
)

eachWay('reregister changes a oneshot to edge, and an edge to oneshot', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, oneshot)
  loop.reregister(server, 1, readable, PollOpt.edge())
  for (const text of ['a', 'b']) {
    say(client, text)
    t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
    t.is(heard(server), text)
  }
  loop.reregister(server, 1, readable, oneshot)
  say(client, 'c')
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
  t.is(heard(server), 'c')
  say(client, 'd')
  t.deepEqual(await idle(stage, loop), [])
})

eachWay('a level registration that becomes oneshot is told once', async (t, stage) => {
  const loop = stage.open<string>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, PollOpt.level())
  say(client, 'a')
  const tokens: number[] = []
  let isOneshot = false
  await stage.run(loop, {
    ready: (_, token) => void tokens.push(token),
    tick(loop) {
      if (isOneshot) return
      isOneshot = true
      loop.reregister(server, 2, readable, oneshot)
      // Time for the loop to tell it, and then to learn that the first `ready` has been handled.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30)
      loop.timeoutMs('end', 50)
    },
    timeout: (loop) => loop.shutdown(),
  })
  t.deepEqual(tokens, [1, 2])
})
