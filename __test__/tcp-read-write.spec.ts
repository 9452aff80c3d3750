import { EventSet, PollOpt } from 'miolo'

import { eachDriver, eachWay } from './support/drivers.ts'
import { arrival, heard, nextReady, pair, readSoon, say } from './support/sockets.ts'

const readable = EventSet.readable()
const writable = EventSet.writable()
const edge = PollOpt.edge()

eachDriver('read is null while nothing has come, and then a count', async (t, stage) => {
  const { client, server } = await pair(stage)
  const into = Buffer.alloc(8)
  t.is(server.read(into), null)
  say(client, 'hello')
  t.is(await readSoon(server, into), 5)
  t.is(into.toString('latin1', 0, 5), 'hello')
  t.is(server.read(into), null)
})

eachDriver('read takes what fits and leaves the rest', async (t, stage) => {
  const { client, server } = await pair(stage)
  say(client, 'abcdef')
  await arrival(server, { bytes: 6 })
  const into = new Uint8Array(4)
  t.is(server.read(into), 4)
  t.deepEqual([...into], [...Buffer.from('abcd')])
  t.is(server.read(into), 2)
})

eachDriver('a view reads and writes within its bounds', async (t, stage) => {
  const { client, server } = await pair(stage)
  const from = Buffer.from('..abc..')
  t.is(client.write(from.subarray(2, 5)), 3)
  const memory = new SharedArrayBuffer(7)
  const into = new Uint8Array(memory, 2, 3)
  await arrival(server, { bytes: 3 })
  t.is(server.read(into), 3)
  t.deepEqual([...new Uint8Array(memory)], [0, 0, 97, 98, 99, 0, 0])
})

eachDriver('writing nothing is 0', async (t, stage) => {
  const { client } = await pair(stage)
  t.is(client.write(new Uint8Array(0)), 0)
})

eachDriver('a write may be short, and null when the peer does not read', async (t, stage) => {
  const { client, server } = await pair(stage)
  const big = Buffer.alloc(64 * 1024 * 1024, 'x')
  const first = client.write(big)
  t.true(first !== null && first > 0 && first < big.length, `wrote ${first}`)
  let written = first!
  // A moment after it was null the system may have made some more room, for little at least.
  for (const data of [big, Buffer.from('x')]) {
    for (let count; (count = client.write(data)) !== null;) written += count
  }

  let read = 0
  const into = Buffer.alloc(1024 * 1024)
  while (read < written) read += await readSoon(server, into)
  t.is(read, written)
  t.is(server.read(into), null)
})

eachWay('16 MiB in chunks of 1 KiB arrive whole', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  const SIZE = 16 * 1024 * 1024
  const chunk = Buffer.alloc(1024)
  let written = 0
  let read = 0
  loop.register(client, 1, writable, edge)
  loop.register(server, 2, readable, edge)
  const into = Buffer.alloc(1024)
  await stage.run(loop, {
    ready(loop, token) {
      if (token === 1) {
        while (written < SIZE) {
          chunk.fill((written >>> 10) & 0xff)
          // A chunk that was cut is gone on with.
          const count = client.write(chunk.subarray(written & 1023))
          if (count === null) return
          written += count
        }
        return client.shutdown('write')
      }
      for (let count; (count = server.read(into)) !== null;) {
        if (count === 0) return loop.shutdown()
        for (let index = 0; index < count; index += 256) {
          if (into[index] !== (((read + index) >>> 10) & 0xff)) t.fail(`at ${read + index}`)
        }
        read += count
      }
    },
  })
  t.is(written, SIZE)
  t.is(read, SIZE)
})

eachWay('what was written before a close still comes, and then the end', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(client, 1, EventSet.all(), edge)
  loop.register(server, 2, readable, edge)
  say(client, 'last words')
  client.close()
  let text = ''
  await stage.run(loop, {
    ready(loop, token, events) {
      t.is(token, 2)
      text += heard(server)
      if (events.isHup()) loop.shutdown()
    },
  })
  t.is(text, 'last words')
  t.is(server.read(Buffer.alloc(1)), 0)
})

eachWay('what was written before deregister still comes', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(client, 1, EventSet.all(), PollOpt.oneshot())
  await nextReady(stage, loop)
  say(client, 'a')
  loop.deregister(client)
  loop.register(server, 2, readable, edge)
  t.deepEqual(await nextReady(stage, loop), [[2, 'Readable']])
  t.is(heard(server), 'a')
})

eachDriver('a stream can be used without any loop', async (t, stage) => {
  const { client, server } = await pair(stage)
  for (const text of ['one', 'two', 'three']) {
    say(client, text)
    const into = Buffer.alloc(16)
    t.is(into.toString('latin1', 0, await readSoon(server, into)), text)
  }
})
