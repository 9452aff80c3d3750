import { EventSet, PollOpt } from 'miolo'

import { eachDriver, eachWay } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { Program } from './support/program.ts'
import { arrival, heard, listen, nextReady, pair, readSoon, say } from './support/sockets.ts'

const readable = EventSet.readable()
const edge = PollOpt.edge()
const byte = Buffer.alloc(1)

eachWay("the peer's shutdown of writing is readable and a hang-up; read is 0", async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, edge)
  client.shutdown('write')
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable | Hup']])
  t.is(server.read(byte), 0)
  t.is(server.read(byte), 0)
})

eachWay('half-closed, the other direction goes on', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  say(client, 'question')
  client.shutdown('write')
  await arrival(server, { bytes: 8, hasEnded: true })
  t.is(heard(server), 'question')
  t.is(server.read(byte), 0)

  loop.register(client, 1, readable, edge)
  for (const answer of ['one', 'two']) {
    say(server, answer)
    const [ready] = await nextReady(stage, loop)
    t.regex(ready![1], /^Readable/)
    t.is(heard(client), answer)
  }
  server.close()
  await nextReady(stage, loop)
  t.is(client.read(byte), 0)
  throwsCode(t, () => client.write(byte), 'EPIPE')
})

eachDriver('after shutdown of writing, write is EPIPE', async (t, stage) => {
  const { client } = await pair(stage)
  client.shutdown('write')
  const error = throwsCode(t, () => client.write(byte), 'EPIPE')
  t.like(error, { syscall: 'write' })
})

eachWay('after shutdown of reading, one is told, and read is 0', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, edge)
  server.shutdown('read')
  const [ready] = await nextReady(stage, loop)
  t.regex(ready![1], /^Readable.*Hup/)
  t.is(server.read(byte), 0)
  say(server, 'a')
  t.is(await readSoon(client, Buffer.alloc(8)), 1)
})

eachWay('after shutdown of both, either end is told of the hang-up', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(client, 1, EventSet.all(), edge)
  loop.register(server, 2, readable, edge)
  client.shutdown('both')
  const hups = new Set<number>()
  await stage.run(loop, {
    ready(loop, token, events) {
      if (events.isHup()) hups.add(token)
      if (hups.size === 2) loop.shutdown()
    },
  })
  t.is(client.read(byte), 0)
  t.is(server.read(byte), 0)
})

eachDriver('shutdown of a connection that is none is ENOTCONN', async (t, stage) => {
  const { client, server } = await pair(stage)
  server.setLinger(0)
  server.close()
  await t.throwsAsync(readSoon(client), { code: 'ECONNRESET' })
  throwsCode(t, () => client.shutdown('write'), 'ENOTCONN')
})

eachWay('a reset is an error and a hang-up; read throws ECONNRESET once', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, edge)
  client.setLinger(0)
  client.close()
  const [ready, ...more] = await nextReady(stage, loop)
  t.regex(ready![1], /Error.*Hup/)
  t.deepEqual(more, [])
  const error = throwsCode(t, () => server.read(byte), 'ECONNRESET')
  t.like(error, { syscall: 'read' })
  t.is(server.read(byte), 0)
  t.is(server.takeError(), null)
})

eachWay('takeError has the reset, too', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, edge)
  client.setLinger(0)
  client.close()
  await nextReady(stage, loop)
  t.like(server.takeError(), { code: 'ECONNRESET', syscall: 'getsockopt' })
  t.is(server.takeError(), null)
})

eachWay('unread input of a closed stream resets the connection', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(client, 1, readable, edge)
  say(client, 'never read')
  await arrival(server, { bytes: 10 })
  server.close()
  const [ready] = await nextReady(stage, loop)
  t.regex(ready![1], /Hup/)
  throwsCode(t, () => client.read(byte), 'ECONNRESET')
})

eachDriver('the connections of a killed process end, the loop goes on', async (t, stage) => {
  const loop = stage.open<number>()
  const listener = listen(stage)
  const { port } = listener.localAddress()
  const source = `const s = require('node:net').connect(${port}, '127.0.0.1', () => s.write('here'))`
  const program = stage.keep(new Program([process.execPath, '--eval', source]))
  loop.register(listener, 0, readable, edge)
  const told: string[] = []
  await loop.run({
    ready(loop, token, events) {
      if (token === 0) {
        loop.register(stage.keep(listener.accept()!.stream), 1, readable, edge)
      } else if (events.isHup()) {
        told.push('hup')
        loop.timeoutMs(0, 0)
      } else if (events.isReadable()) {
        told.push('here')
        program.child.kill('SIGKILL')
      }
    },
    timeout: (loop) => loop.shutdown(),
  })
  t.deepEqual(told, ['here', 'hup'])
})
