/** The life of a connection: one `open`, what comes, one `close`. */

import { connect, Connection, LoopError, TcpServer } from 'miolo'

import { compute } from './support/compute.ts'
import { deferred, within } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { areInOrder, dial, journal, running, serve } from './support/servers.ts'

eachDriver('a connection is opened, brings data, ends and is closed', async (t, stage) => {
  const log = journal({ data: (conn, chunk) => void conn.write(chunk) })
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  client.write('hello')
  t.is((await client.take(5)).toString(), 'hello')
  client.socket.end()
  const { calls, reason, error } = await log.closed()
  t.deepEqual(calls, ['open', 'data', 'end', 'close'])
  t.is(reason, 'end')
  t.is(error, undefined)
  t.is((await client.rest()).length, 0)
})

eachDriver('a connection without data is opened and closed', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler)
  dial(stage, port).socket.end()
  const { calls, reason } = await log.closed()
  t.deepEqual(calls, ['open', 'end', 'close'])
  t.is(reason, 'end')
})

eachDriver('a connection that is told of the end of its loop may ask for it', async (t, stage) => {
  const loop = running(stage)
  const { port } = serve(loop, {})
  const reasons: string[] = []
  const conn = await connect(loop, `127.0.0.1:${port}`, {
    close(_, reason) {
      reasons.push(reason)
      loop.shutdown()
    },
  })
  t.true(conn instanceof Connection)
  t.notThrows(() => loop.close())
  t.deepEqual(reasons, ['shutdown'])
  throwsCode(t, () => loop.shutdown(), 'ERR_MIOLO_CLOSED', LoopError)
})

eachDriver(
  'what a connection throws at the end of its loop is thrown when all is closed',
  async (t, stage) => {
    const loop = running(stage)
    const { port } = serve(loop, {})
    let closes = 0
    for (let each = 0; each < 2; each++) {
      await connect(loop, `127.0.0.1:${port}`, {
        close() {
          closes++
          throw new Error(`on purpose ${closes}`)
        },
      })
    }
    t.throws(() => loop.close(), { message: 'on purpose 1' })
    t.is(closes, 2)
    t.notThrows(() => loop.close())
  },
)

eachDriver('every callback may be left out', async (t, stage) => {
  const { server, port } = serve(running(stage), {})
  const client = dial(stage, port)
  client.socket.end('nobody listens')
  t.is((await client.rest()).length, 0)
  await within('no connection', () => server.close())
  t.is(server.connections.size, 0)
})

eachDriver('what comes with the end of the peer is answered', async (t, stage) => {
  const log = journal({ data: (conn, chunk) => void conn.write(chunk) })
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  client.socket.end('x'.repeat(100_000))
  t.is((await client.rest()).length, 100_000)
  areInOrder(t, [await log.closed()])
})

eachDriver('a write in `end` is sent before this side ends', async (t, stage) => {
  const log = journal({ end: (conn) => void conn.write('bye') })
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  client.socket.end()
  t.is((await client.rest()).toString(), 'bye')
  t.is((await log.closed()).reason, 'end')
})

eachDriver('after `end` nothing can be written', async (t, stage) => {
  const results: boolean[] = []
  const log = journal({
    end(conn) {
      results.push(conn.write('a'))
      setImmediate(() => results.push(conn.write('b')))
    },
  })
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  await client.connected()
  client.socket.end()
  t.is((await client.rest()).toString(), 'a')
  await log.closed()
  t.is(results[0], true)
  if (results.length > 1) t.is(results[1], false)
})

eachDriver('this side may end first, and goes on reading', async (t, stage) => {
  const log = journal({ open: (conn) => conn.end('first') })
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  t.is((await client.rest()).toString(), 'first')
  await client.send('still')
  await log.until('data', () => log.lives[0]?.chunks.length === 1)
  t.is(log.lives[0]?.reason, undefined)
  client.socket.end()
  const { calls, chunks, reason } = await log.closed()
  t.deepEqual(calls, ['open', 'data', 'end', 'close'])
  t.is(Buffer.concat(chunks).toString(), 'still')
  t.is(reason, 'end')
})

eachDriver('with allowHalfOpen this side goes on until it ends', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler, { allowHalfOpen: true })
  const client = dial(stage, port)
  client.socket.end('question')
  await log.until('the end', () => log.lives[0]?.calls.includes('end') === true)
  const life = await log.opened()
  t.true(life.conn.write('the '))
  await client.take(4)
  t.true(life.conn.write('answer'))
  await client.take(6)
  t.is(life.reason, undefined)
  t.false(client.hasEnded)
  life.conn.end('.')
  t.is((await client.rest()).toString(), '.')
  t.deepEqual((await log.closed()).calls, ['open', 'data', 'end', 'close'])
  t.is(life.reason, 'end')
})

eachDriver('a closed connection takes everything and does nothing', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler)
  dial(stage, port).socket.end()
  const { conn, calls } = await log.closed()
  t.false(conn.write('late'))
  t.false(conn.write(Buffer.alloc(1_000_000)))
  t.is(conn.bufferedAmount, 0)
  conn.end('late')
  conn.end()
  conn.pause()
  conn.resume()
  conn.abort()
  t.is(
    conn.cork(() => 'result'),
    'result',
  )
  t.is(conn.remoteAddress?.address, '127.0.0.1')
  t.is(calls.at(-1), 'close')
  const client = dial(stage, port)
  client.write('the next')
  const next = await log.opened(1)
  await log.until('data', () => next.chunks.length > 0)
  t.is(calls.at(-1), 'close')
  areInOrder(t, log.lives)
})

eachDriver('in `close` a connection is closed already', async (t, stage) => {
  const seen: unknown[] = []
  const log = journal({
    close(conn) {
      seen.push(conn.write('late'), conn.bufferedAmount, [...server.connections].includes(conn))
      conn.end()
      conn.abort()
    },
  })
  const { server, port } = serve(running(stage), log.handler)
  dial(stage, port).socket.end()
  await log.closed()
  t.deepEqual(seen, [false, 0, false])
})

eachDriver('after end and after abort a write is false', async (t, stage) => {
  const writes: boolean[] = []
  const log = journal({
    open(conn) {
      conn.end('last')
      writes.push(conn.write('late'))
      conn.end('later')
    },
  })
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  t.is((await client.rest()).toString(), 'last')
  const life = await log.opened()
  life.conn.abort()
  t.false(life.conn.write('late'))
  await log.closed()
  t.deepEqual(writes, [false])
})

eachDriver('nothing comes after abort but close', async (t, stage) => {
  const log = journal({ data: (conn) => conn.abort() })
  const { port } = serve(running(stage), log.handler, { framing: 'lines' })
  const client = dial(stage, port)
  client.write('one\ntwo\nthree\n')
  const { calls, reason } = await log.closed()
  t.deepEqual(calls, ['open', 'data', 'close'])
  t.is(reason, 'aborted')
})

eachDriver('hundreds of connections at once each have their own life', async (t, stage) => {
  const log = journal<number>({
    open(conn) {
      conn.state = log.lives.length
    },
    data: (conn, chunk) => void conn.write(`${conn.state} ${chunk.toString()}`),
  })
  const { server, port } = serve(running(stage), log.handler)
  const clients = Array.from({ length: 300 }, () => dial(stage, port))
  for (const client of clients) client.write('x'.repeat(20))
  const answers = new Set<string>()
  for (const client of clients) {
    await client.until('an answer', () => client.received.includes('x'.repeat(20)))
    answers.add(client.received.toString())
  }
  t.is(answers.size, clients.length)
  t.is(server.connections.size, clients.length)
  for (const client of clients) client.socket.end()
  for (const index of clients.keys()) await log.closed(index)
  areInOrder(t, log.lives)
  t.is(server.connections.size, 0)
})

eachDriver('`state` is undefined until it is set', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler)
  dial(stage, port)
  const { conn } = await log.opened()
  t.is(conn.state, undefined)
  conn.state = 'mine'
  t.is(conn.state, 'mine')
})

eachDriver('addresses are those of the sockets, IPv4 and IPv6', async (t, stage) => {
  const loop = running(stage)
  const log = journal()
  const { server, port } = serve(loop, log.handler)
  const client = await dial(stage, port).connected()
  const { conn } = await log.opened()
  t.deepEqual(conn.remoteAddress, {
    address: '127.0.0.1',
    family: 'IPv4',
    port: client.socket.localPort as number,
  })
  t.deepEqual(conn.localAddress, { address: '127.0.0.1', family: 'IPv4', port })
  let sixth
  try {
    sixth = server.listen('[::1]:0')
  } catch {
    // No IPv6 here.
    return
  }
  const other = await dial(stage, sixth.port, { host: '::1' }).connected()
  const { conn: six } = await log.opened(1)
  t.is(six.remoteAddress?.address, '::1')
  t.is(six.remoteAddress?.port, other.socket.localPort)
  t.deepEqual(six.localAddress, sixth)
})

eachDriver(
  'connections wait for a loop that does not run, and for one that runs again',
  async (t, stage) => {
    const loop = stage.open()
    const log = journal({ data: (conn, chunk) => void conn.write(chunk) })
    const { port } = serve(loop, log.handler)
    const client = await dial(stage, port).connected()
    await client.send('one')
    t.is(log.lives.length, 0)
    let run = loop.run({})
    t.is((await client.take(3)).toString(), 'one')
    loop.shutdown()
    await within('the end of the run', () => run)
    await client.send('two')
    run = loop.run({})
    t.is((await client.take(3)).toString(), 'two')
    client.socket.end()
    await log.closed()
    areInOrder(t, log.lives)
    loop.shutdown()
    await within('the end of the run', () => run)
  },
)

eachDriver('runSync serves, too', async (t, stage) => {
  const loop = stage.open()
  const other = running(stage)
  const log = journal({ data: (conn, chunk) => void conn.write(chunk) })
  const { port } = serve(loop, log.handler)
  const answer: string[] = []
  // Both ends on one loop: nothing else has a turn.
  const connecting = connect(
    loop,
    { host: '127.0.0.1', port },
    {
      open: (conn) => void conn.write('sync'),
      data(conn, chunk) {
        answer.push(chunk.toString())
        conn.end()
      },
      close: () => loop.shutdown(),
    },
  )
  loop.runSync({})
  await within('the connection', () => connecting)
  t.deepEqual(answer, ['sync'])
  areInOrder(t, log.lives)
  other.close()
})

eachDriver('closing the loop closes each connection: shutdown', async (t, stage) => {
  const writes: boolean[] = []
  const log = journal({
    close() {
      // The others may not know yet.
      for (const { conn } of log.lives) writes.push(conn.write('x'))
    },
  })
  const loop = running(stage)
  const { server, port } = serve(loop, log.handler)
  const clients = [0, 1, 2].map(() => dial(stage, port))
  await log.opened(2)
  loop.close()
  for (const index of clients.keys()) t.is((await log.closed(index)).reason, 'shutdown')
  areInOrder(t, log.lives)
  t.true(writes.every((written) => !written))
  t.is(server.connections.size, 0)
  for (const client of clients) await client.over()
})

eachDriver('closing the loop inside any callback closes all, once', async (t, stage) => {
  for (const name of ['open', 'data', 'end', 'close'] as const) {
    const loop = stage.open()
    const log = journal({ [name]: () => loop.close() })
    const run = loop.run({})
    const { port } = serve(loop, log.handler)
    const idle = await dial(stage, port).connected()
    const client = dial(stage, port)
    client.socket.end('x')
    await within(`the end of the run after ${name}`, () => run)
    t.true(log.lives.length > 0)
    for (const { reason } of log.lives)
      t.true(reason === 'shutdown' || (name === 'close' && reason === 'end'))
    areInOrder(t, log.lives)
    idle.socket.destroy()
  }
})

eachDriver('closing the loop in the midst of many writes throws nothing', async (t, stage) => {
  const loop = running(stage, { eventCapacity: 16 })
  const big = 'x'.repeat(300_000)
  const log = journal({
    close() {
      for (const { conn } of log.lives) for (let time = 0; time < 50; time++) conn.write(big)
    },
  })
  const { port } = serve(loop, log.handler)
  for (let count = 0; count < 20; count++) dial(stage, port)
  await log.opened(19)
  t.notThrows(() => loop.close())
  areInOrder(t, log.lives)
})

eachDriver('two servers of one loop do not mix', async (t, stage) => {
  const loop = running(stage)
  const [a, b] = [journal(), journal()]
  const one = serve(loop, a.handler)
  const two = serve(loop, b.handler)
  await dial(stage, one.port).send('a')
  await dial(stage, two.port).send('b')
  await a.until('data', () => a.lives[0]?.chunks.length === 1)
  await b.until('data', () => b.lives[0]?.chunks.length === 1)
  t.is(String(a.lives[0]?.chunks[0]), 'a')
  t.is(String(b.lives[0]?.chunks[0]), 'b')
  await within('one server', () => one.server.close({ deadlineMs: 0 }))
  t.is(a.lives[0]?.reason, 'shutdown')
  t.is(b.lives[0]?.reason, undefined)
})

eachDriver('one server listens at several addresses', async (t, stage) => {
  const log = journal({ open: (conn) => void conn.write(String(conn.localAddress?.port)) })
  const { server, port } = serve(running(stage), log.handler)
  const ports = [port, server.listen('127.0.0.1:0').port, server.listen('127.0.0.1:0').port]
  t.is(new Set(ports).size, 3)
  for (const each of ports) {
    const client = dial(stage, each)
    t.is((await client.take(String(each).length)).toString(), String(each))
  }
  t.is(server.connections.size, 3)
})

eachDriver(
  'a connection that takes the slot of one whose end was not told yet',
  async (t, stage) => {
    const loop = running(stage)
    const other = deferred<void>()
    const listener = new TcpServer(running(stage), {})
    const target = listener.listen('127.0.0.1:0')
    const made: Promise<unknown>[] = []
    const log = journal({
      data() {
        // The peer resets while this callback lasts: the loop thread closes the connection, and its slot is free.
        compute(300)
        made.push(connect(loop, target, {}))
        other.resolve()
      },
    })
    const { port } = serve(loop, log.handler)
    const client = await dial(stage, port).connected()
    await client.send('x')
    // From another thread, since this one will be busy.
    client.socket.resetAndDestroy()
    await within('data', () => other.promise)
    await log.closed()
    areInOrder(t, log.lives)
    await within('the other', () => Promise.all(made))
  },
)
