import { EventSet, PollOpt, TcpListener, TcpStream } from 'miolo'

import { eachDriver, eachWay } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import {
  accepted,
  connect,
  heard,
  hostAndPort,
  idle,
  listen,
  nextReady,
  pair,
  say,
} from './support/sockets.ts'

const readable = EventSet.readable()
const writable = EventSet.writable()
const edge = PollOpt.edge()

eachWay('accept gives each connection once, and null when none waits', async (t, stage) => {
  const loop = stage.open<number>()
  const listener = listen(stage)
  t.is(listener.accept(), null)
  loop.register(listener, 1, readable, edge)
  const client = connect(stage, listener)
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
  const connection = listener.accept()
  t.deepEqual(connection?.peer, client.localAddress())
  t.is(listener.accept(), null)
  stage.keep(connection!.stream)
})

eachWay('connected is writable, without an error', async (t, stage) => {
  const loop = stage.open<number>()
  const listener = listen(stage)
  const client = connect(stage, listener)
  loop.register(client, 1, EventSet.all(), edge)
  t.deepEqual(await nextReady(stage, loop), [[1, 'Writable']])
  t.is(client.takeError(), null)
  t.deepEqual(client.peerAddress(), listener.localAddress())
})

eachWay('refused is writable, and takeError says so once', async (t, stage) => {
  const loop = stage.open<number>()
  const listener = listen(stage)
  const where = hostAndPort(listener.localAddress())
  listener.close()
  const client = stage.keep(TcpStream.connect(where))
  loop.register(client, 1, writable, edge)
  let error: Error | null = null
  const [ready, ...more] = await nextReady(stage, loop, (_, __, events) => {
    t.true(events.isWritable())
    error = client.takeError()
  })
  t.is(ready?.[0], 1)
  t.deepEqual(more, [])
  const { host: address, port } = where
  t.like(error, {
    code: 'ECONNREFUSED',
    syscall: 'connect',
    address,
    port,
    message: `connect ECONNREFUSED ${address}:${port}`,
  })
  t.is(client.takeError(), null)
  throwsCode(t, () => client.peerAddress(), 'ENOTCONN')
})

eachDriver('what the system refuses at once is thrown', (t) => {
  const error = throwsCode(t, () => TcpStream.connect('255.255.255.255:9'), 'ENETUNREACH')
  t.like(error, { syscall: 'connect', address: '255.255.255.255', port: 9 })
})

for (const [address, family] of [
  ['127.0.0.1', 'IPv4'],
  ['::1', 'IPv6'],
] as const) {
  eachDriver(`both ends of an ${family} connection know both addresses`, async (t, stage) => {
    const listener = stage.keep(TcpListener.bind({ host: address, port: 0 }))
    const { port } = listener.localAddress()
    const text = family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
    for (const where of [text, { host: address, port }]) {
      const client = stage.keep(TcpStream.connect(where))
      const server = await accepted(stage, listener)
      t.deepEqual(client.peerAddress(), { address, family, port })
      t.deepEqual(server.localAddress(), { address, family, port })
      t.like(client.localAddress(), { address, family })
      t.deepEqual(server.peerAddress(), client.localAddress())
    }
  })
}

eachDriver('an IPv4 peer of an IPv6 listener has a mapped address', async (t, stage) => {
  const listener = listen(stage, '[::]:0')
  const client = stage.keep(
    TcpStream.connect({ host: '127.0.0.1', port: listener.localAddress().port }),
  )
  const server = await accepted(stage, listener)
  t.deepEqual(server.peerAddress(), {
    address: '::ffff:127.0.0.1',
    family: 'IPv6',
    port: client.localAddress().port,
  })
})

eachWay('a client of a closed listener is told of its connection', async (t, stage) => {
  const loop = stage.open<number>()
  const listener = listen(stage)
  const client = connect(stage, listener)
  loop.register(client, 1, readable.union(writable), edge)
  const server = await accepted(stage, listener)
  listener.close()
  t.deepEqual(await nextReady(stage, loop), [[1, 'Writable']])
  say(server, 'a')
  const [ready] = await nextReady(stage, loop)
  t.regex(ready![1], /^Readable/)
  t.is(heard(client), 'a')
})

eachWay('an accepted connection that is closed at once is told to its client', async (t, stage) => {
  const loop = stage.open<number>()
  const listener = listen(stage)
  const client = connect(stage, listener)
  loop.register(listener, 1, readable, edge)
  loop.register(client, 2, readable, edge)
  const told: string[] = []
  await stage.run(loop, {
    ready(loop, token, events) {
      told.push(`${token} ${events}`)
      if (token === 1) {
        const server = listener.accept()!.stream
        loop.register(server, 3, EventSet.all(), edge)
        server.close()
      } else loop.shutdown()
    },
  })
  t.deepEqual(told, ['1 Readable', '2 Readable | Hup'])
  t.is(client.read(Buffer.alloc(1)), 0)
})

eachWay('a listener that is closed is told nothing', async (t, stage) => {
  const loop = stage.open<number>()
  const listener = listen(stage)
  loop.register(listener, 1, readable, edge)
  connect(stage, listener)
  listener.close()
  t.deepEqual(await idle(stage, loop), [])
})

eachDriver('a stream may be the payload of a timeout', async (t, stage) => {
  const loop = stage.open<TcpStream>()
  const { client, server } = await pair(stage)
  loop.register(client, 1, readable, edge)
  loop.timeoutMs(server, 5)
  const told: string[] = []
  await loop.run({
    timeout(_, stream) {
      say(stream, 'late')
      stream.close()
    },
    ready(loop, _, events) {
      told.push(heard(client))
      if (events.isHup()) loop.shutdown()
    },
  })
  t.is(told.join(''), 'late')
})
