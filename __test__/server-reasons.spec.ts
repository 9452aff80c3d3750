/** Why connections end: each reason, and what the peer sees of it. */

import { connect } from 'miolo'

import { deferred, within } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { areInOrder, dial, journal, running, serve } from './support/servers.ts'

eachDriver('aborted: the peer sees a reset', async (t, stage) => {
  const log = journal({ data: (conn) => conn.abort() })
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  client.write('x')
  await client.closed()
  t.is(client.error?.code, 'ECONNRESET')
  const { reason, error } = await log.closed()
  t.is(reason, 'aborted')
  t.is(error, undefined)
  areInOrder(t, log.lives)
})

eachDriver('aborted from outside of a callback', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  const { conn } = await log.opened()
  conn.abort()
  conn.abort()
  await client.closed()
  t.is(client.error?.code, 'ECONNRESET')
  t.is((await log.closed()).reason, 'aborted')
})

eachDriver('aborted: what waited is lost', async (t, stage) => {
  const log = journal({
    open(conn) {
      conn.write(Buffer.alloc(10_000_000))
      conn.abort()
    },
  })
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  await client.over()
  t.true(client.received.length < 10_000_000)
  t.is((await log.closed()).reason, 'aborted')
})

eachDriver('reset: by the peer, while nothing is read or written', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler)
  const client = await dial(stage, port).connected()
  await log.opened()
  client.socket.resetAndDestroy()
  const { reason, error } = await log.closed()
  t.is(reason, 'reset')
  t.is(error, undefined)
})

eachDriver('reset: of a connection that is paused', async (t, stage) => {
  const log = journal({ open: (conn) => conn.pause() })
  const { port } = serve(running(stage), log.handler)
  const client = await dial(stage, port).connected()
  await log.opened()
  await client.send('unread')
  client.socket.resetAndDestroy()
  t.is((await log.closed()).reason, 'reset')
})

eachDriver('reset: while much waits to be sent', async (t, stage) => {
  const log = journal({ open: (conn) => void conn.write(Buffer.alloc(15_000_000)) })
  const { port } = serve(running(stage), log.handler)
  const client = await dial(stage, port, { silent: true }).connected()
  await log.opened()
  client.socket.resetAndDestroy()
  const life = await log.closed()
  t.is(life.reason, 'reset')
  t.is(life.conn.bufferedAmount, 0)
})

eachDriver('reset: at any byte', async (t, stage) => {
  const log = journal({ data: (conn, chunk) => void conn.write(chunk) })
  const { port } = serve(running(stage), log.handler, { framing: { length: 2 } })
  const frame = Buffer.from('\0\x05hello\0\x03abc', 'latin1')
  for (let end = 0; end <= frame.length; end++) {
    const client = await dial(stage, port).connected()
    await log.opened(end)
    if (end > 0) await client.send(frame.subarray(0, end))
    client.socket.resetAndDestroy()
    t.is((await log.closed(end)).reason, 'reset')
  }
  areInOrder(t, log.lives)
})

eachDriver('reset: a peer that has gone is found out by writing', async (t, stage) => {
  const log = journal({
    end(conn) {
      // To a socket that nobody has any more: it answers with a reset.
      const timer = setInterval(() => void conn.write('x'.repeat(1000)), 1)
      t.teardown(() => clearInterval(timer))
    },
  })
  const { port } = serve(running(stage), log.handler, { allowHalfOpen: true })
  const client = await dial(stage, port).connected()
  await log.opened()
  client.socket.destroy()
  t.is((await log.closed()).reason, 'reset')
})

eachDriver('idle: where nothing comes and nothing goes', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler, { idleTimeoutMs: 50 })
  const before = performance.now()
  const client = dial(stage, port)
  t.is((await log.closed()).reason, 'idle')
  t.true(performance.now() - before >= 45)
  t.is((await client.rest()).length, 0)
})

eachDriver('idle: not while something comes', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler, { idleTimeoutMs: 1000 })
  const before = performance.now()
  const client = dial(stage, port)
  const timer = setInterval(() => client.write('x'), 50)
  t.teardown(() => clearInterval(timer))
  await log.until(
    'data',
    () => (log.lives[0]?.chunks.length ?? 0) >= 30 || log.lives[0]?.reason !== undefined,
  )
  t.true(performance.now() - before > 1000)
  t.is(log.lives[0]?.reason, undefined)
  clearInterval(timer)
  t.is((await log.closed()).reason, 'idle')
})

eachDriver('idle: not while something goes', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler, { idleTimeoutMs: 1000 })
  const client = dial(stage, port)
  const { conn } = await log.opened()
  const before = performance.now()
  const timer = setInterval(() => void conn.write('x'), 50)
  t.teardown(() => clearInterval(timer))
  await client.take(30)
  t.true(performance.now() - before > 1000)
  t.is(log.lives[0]?.reason, undefined)
  clearInterval(timer)
  t.is((await log.closed()).reason, 'idle')
})

eachDriver('idle: not by frames that come in parts', async (t, stage) => {
  const log = journal()
  const options = { idleTimeoutMs: 1000, framing: 'lines' } as const
  const { port } = serve(running(stage), log.handler, options)
  const client = dial(stage, port)
  for (let count = 0; count < 30; count++) {
    await client.send('x')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  client.write('\n')
  await log.until('a line', () => log.lives[0]?.chunks.length === 1)
  t.is(log.lives[0]?.chunks[0]?.length, 30)
})

eachDriver('idle: a peer that does not read what waits for it', async (t, stage) => {
  const log = journal({ open: (conn) => void conn.write(Buffer.alloc(15_000_000)) })
  const { port } = serve(running(stage), log.handler, { idleTimeoutMs: 200 })
  dial(stage, port, { silent: true })
  t.is((await log.closed()).reason, 'idle')
})

eachDriver('idle: a peer that holds its side open after this has ended', async (t, stage) => {
  const log = journal({ open: (conn) => conn.end('bye') })
  const { port } = serve(running(stage), log.handler, { idleTimeoutMs: 200 })
  const client = dial(stage, port)
  t.is((await client.rest()).toString(), 'bye')
  t.is((await log.closed()).reason, 'idle')
})

eachDriver('idle: a connection that is paused for good', async (t, stage) => {
  const log = journal({ open: (conn) => conn.pause() })
  const { port } = serve(running(stage), log.handler, { idleTimeoutMs: 200 })
  const client = dial(stage, port)
  await log.opened()
  client.write('never read')
  const { calls, reason } = await log.closed()
  t.is(reason, 'idle')
  t.deepEqual(calls, ['open', 'close'])
})

eachDriver('lifetime: however busy it is', async (t, stage) => {
  const log = journal({ data: (conn, chunk) => void conn.write(chunk) })
  const { port } = serve(running(stage), log.handler, { lifetimeMs: 300, idleTimeoutMs: 10_000 })
  const before = performance.now()
  const client = dial(stage, port)
  const timer = setInterval(() => client.write('x'), 20)
  t.teardown(() => clearInterval(timer))
  t.is((await log.closed()).reason, 'lifetime')
  t.true(performance.now() - before >= 295)
  areInOrder(t, log.lives)
})

eachDriver('overflow: more waits than may', async (t, stage) => {
  const written: boolean[] = []
  const log = journal({
    open(conn) {
      for (let count = 0; count < 200; count++) written.push(conn.write(Buffer.alloc(100_000)))
    },
  })
  const { port } = serve(running(stage), log.handler, { maxWriteBuffer: 1_000_000 })
  const client = dial(stage, port, { silent: true })
  const { reason, conn } = await log.closed()
  t.is(reason, 'overflow')
  t.is(conn.bufferedAmount, 0)
  t.false(written.at(-1))
  client.listen()
  await client.over()
  t.true(client.received.length < 20_000_000)
})

eachDriver('overflow: bit by bit, over many batches', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler, { maxWriteBuffer: 100_000 })
  dial(stage, port, { silent: true })
  const { conn } = await log.opened()
  let isOver = false
  void log.closed().then(() => {
    isOver = true
  })
  let most = 0
  await within('an overflow', async () => {
    while (!isOver) {
      conn.write(Buffer.alloc(50_000))
      most = Math.max(most, conn.bufferedAmount)
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
  t.is(log.lives[0]?.reason, 'overflow')
  t.true(most <= 100_000, String(most))
})

eachDriver('frame-too-long: and what came before it is still told', async (t, stage) => {
  for (const [index, [framing, input]] of (
    [
      [{ delimiter: '\n', maxLength: 5 }, 'one\ntwo\nfar too long'],
      [{ delimiter: '\r\n\r\n', maxLength: 5 }, 'one\r\n\r\ntwo\r\n\r\nfar too long'],
      [{ length: 1, maxLength: 5 }, '\x03one\x03two\x05'],
      [{ length: 2, inclusive: true }, '\0\x05one\0\x05two\0\x01'],
    ] as const
  ).entries()) {
    const log = journal()
    const { port } = serve(running(stage), log.handler, { framing })
    const client = dial(stage, port)
    client.write(Buffer.from(input, 'latin1'))
    const { chunks, reason, error } = await log.closed()
    t.is(reason, 'frame-too-long', String(index))
    t.is(error, undefined)
    t.deepEqual(
      chunks.map((chunk) => chunk.toString()),
      ['one', 'two'],
    )
    areInOrder(t, log.lives)
    await client.over()
  }
})

eachDriver('over-limit: what is too much is refused at once, and counted', async (t, stage) => {
  const log = journal()
  const { server, port } = serve(running(stage), log.handler, { maxConnections: 2 })
  t.is(server.refused, 0)
  const clients = [dial(stage, port), dial(stage, port)]
  await log.opened(1)
  for (let count = 1; count <= 5; count++) {
    const refused = dial(stage, port)
    await refused.over()
    t.is(server.refused, count)
  }
  t.is(log.lives.length, 2)
  // There is room again.
  clients[0]?.socket.end()
  await log.closed()
  dial(stage, port)
  await log.opened(2)
  t.is(server.refused, 5)
  t.is(server.connections.size, 2)
})

eachDriver('over-limit: by address', async (t, stage) => {
  const log = journal()
  const loop = running(stage)
  const { server, port } = serve(loop, log.handler, { maxConnectionsPerAddress: 1 })
  dial(stage, port, { localAddress: '127.0.0.1' })
  await log.opened()
  const refused = dial(stage, port, { localAddress: '127.0.0.1' })
  await refused.over()
  t.is(server.refused, 1)
  if (process.platform === 'linux') {
    const other = dial(stage, port, { localAddress: '127.0.0.2' })
    await log.opened(1)
    other.socket.end()
    await log.closed(1)
    dial(stage, port, { localAddress: '127.0.0.2' })
    await log.opened(2)
  }
  t.is(server.refused, 1)
})

eachDriver('shutdown: the server is closed and the peer stays', async (t, stage) => {
  const log = journal()
  const { server, port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  await log.opened()
  t.deepEqual(await within('close', () => server.close({ deadlineMs: 50 })), { shutdown: 1 })
  t.is((await log.closed()).reason, 'shutdown')
  await client.rest()
})

for (const name of ['open', 'data', 'end', 'drain', 'close'] as const) {
  eachDriver(`error: ${name} throws, and run rejects`, async (t, stage) => {
    const loop = stage.open()
    const failure = new Error('on purpose')
    const log = journal({
      open(conn) {
        // For `drain`.
        if (name === 'drain') conn.write(Buffer.alloc(100_000))
      },
      [name](conn: { write(data: Buffer): boolean }) {
        // Only the first connection.
        if (log.lives[0]?.conn === conn) throw failure
      },
    })
    const { port } = serve(loop, log.handler)
    const run = loop.run({})
    const client = dial(stage, port)
    client.socket.end('x')
    t.is(await t.throwsAsync(within('the run', () => run)), failure)
    const { reason, error, calls } = log.lives[0]!
    t.is(reason, name === 'close' ? 'end' : 'error')
    t.is(error, name === 'close' ? undefined : failure)
    t.is(calls.filter((call) => call === 'close').length, 1)
    areInOrder(t, log.lives)
    // The loop goes on with the others.
    const second = loop.run({})
    const next = dial(stage, port)
    next.socket.end('next')
    t.is((await log.closed(1)).reason, 'end')
    loop.shutdown()
    await within('the second run', () => second)
    areInOrder(t, log.lives)
    t.is(log.lives.length, 2)
  })
}

eachDriver('error: what is thrown may be anything, and close may throw, too', async (t, stage) => {
  const loop = stage.open()
  const log = journal({
    data() {
      throw 'a string' // oxlint-disable-line only-throw-error
    },
    close() {
      throw new Error('too')
    },
  })
  const { port } = serve(loop, log.handler)
  const run = loop.run({})
  dial(stage, port).write('x')
  t.is(await within('the run', () => run.then(undefined, (error: unknown) => error)), 'a string')
  t.is(log.lives[0]?.reason, 'error')
  t.true(log.lives[0]?.error instanceof Error)
  t.is(log.lives[0]?.error?.cause, 'a string')
})

eachDriver('error: a promise that rejects fails the run', async (t, stage) => {
  const loop = stage.open()
  const failure = new Error('later')
  const log = journal({ data: (async () => Promise.reject(failure)) as () => void })
  const { port } = serve(loop, log.handler)
  const run = loop.run({})
  dial(stage, port).write('x')
  t.is(await t.throwsAsync(within('the run', () => run)), failure)
})

eachDriver('error: `error` may throw only what stops the loop', async (t, stage) => {
  const loop = running(stage)
  const done = deferred<string>()
  const log = journal()
  const { server, port } = serve(loop, log.handler)
  // The same port again: that is the caller's to know, and no callback's.
  t.throws(() => server.listen({ host: '127.0.0.1', port }), { code: 'EADDRINUSE' })
  const conn = await within('a connection', () =>
    connect(loop, { host: '127.0.0.1', port }, { close: (_, reason) => done.resolve(reason) }),
  )
  conn.end()
  t.is(await within('its end', () => done.promise), 'end')
  t.deepEqual(log.errors, [])
})

eachDriver('error: the peer need not wait for the next run', async (t, stage) => {
  const loop = stage.open()
  const failure = new Error('thrown')
  const log = journal({
    data() {
      throw failure
    },
  })
  const { port } = serve(loop, log.handler)
  const run = loop.run({})
  const client = dial(stage, port)
  client.write('x')
  t.is(await t.throwsAsync(within('the run', () => run)), failure)
  await client.over()
  t.is(log.lives[0]?.reason, 'error')
})
