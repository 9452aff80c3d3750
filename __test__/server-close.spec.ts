/** `close` of a server: accept no more, flush, then cut. */

import { connect, TcpServer } from 'miolo'

import { within } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'
import { areInOrder, dial, journal, running, serve } from './support/servers.ts'

const closing = (server: TcpServer, options?: { deadlineMs?: number }) =>
  within('the server', () => server.close(options))

eachDriver('a server without connections closes at once', async (t, stage) => {
  const { server } = serve(running(stage), {})
  t.deepEqual(await closing(server), {})
  const unheard = new TcpServer(running(stage), {})
  t.deepEqual(await closing(unheard), {})
})

eachDriver('what comes of a connection that is over is no iteration', async (t, stage) => {
  const loop = stage.open()
  const { port } = serve(loop, {
    data() {
      throw new Error('on purpose')
    },
  })
  dial(stage, port).write('x')
  await t.throwsAsync(loop.run({}), { message: 'on purpose' })
  const names: string[] = []
  const handler = { tick: () => void names.push('tick') }
  // The rest of that iteration, and then what its end has left.
  await loop.runOnce(handler)
  await loop.runOnce(handler, 50)
  t.deepEqual(names, ['tick'])
})

eachDriver('connections end in order, and are counted', async (t, stage) => {
  const log = journal()
  const { server, port } = serve(running(stage), log.handler)
  const clients = [0, 1, 2].map(() => dial(stage, port))
  await log.opened(2)
  const done = closing(server)
  for (const client of clients) {
    t.is((await client.rest()).length, 0)
    client.socket.end()
  }
  t.deepEqual(await done, { end: 3 })
  areInOrder(t, log.lives)
  t.is(server.connections.size, 0)
})

eachDriver('only those that ended since are counted', async (t, stage) => {
  const log = journal()
  const { server, port } = serve(running(stage), log.handler)
  const early = dial(stage, port)
  await log.opened()
  early.socket.resetAndDestroy()
  await log.closed()
  const late = dial(stage, port)
  await log.opened(1)
  const done = closing(server)
  await late.rest()
  late.socket.end()
  t.deepEqual(await done, { end: 1 })
})

eachDriver('what was written before is sent', async (t, stage) => {
  const log = journal()
  const { server, port } = serve(running(stage), log.handler)
  const client = await dial(stage, port, { silent: true }).connected()
  const { conn } = await log.opened()
  conn.write(Buffer.alloc(10_000_000, 'x'))
  const done = closing(server)
  t.false(conn.write('late'))
  client.listen()
  const all = await client.rest()
  t.is(all.length, 10_000_000)
  client.socket.end()
  t.deepEqual(await done, { end: 1 })
})

eachDriver('those that do not end by the deadline are cut', async (t, stage) => {
  const log = journal()
  const { server, port } = serve(running(stage), log.handler)
  // It takes nothing, and does not end its side.
  const stubborn = dial(stage, port, { silent: true })
  const polite = dial(stage, port)
  await log.opened(1)
  for (const { conn } of log.lives) {
    const isPolite = conn.remoteAddress?.port === polite.socket.localPort
    conn.write(isPolite ? 'bye' : Buffer.alloc(15_000_000))
  }
  const before = performance.now()
  const done = closing(server, { deadlineMs: 3000 })
  await polite.rest()
  polite.socket.end()
  t.deepEqual(await done, { end: 1, shutdown: 1 })
  t.true(performance.now() - before >= 2990)
  stubborn.listen()
  await stubborn.over()
  areInOrder(t, log.lives)
})

eachDriver('a deadline of 0 cuts at once', async (t, stage) => {
  const log = journal()
  const { server, port } = serve(running(stage), log.handler)
  dial(stage, port)
  dial(stage, port)
  await log.opened(1)
  t.deepEqual(await closing(server, { deadlineMs: 0 }), { shutdown: 2 })
})

eachDriver('nobody is accepted any more', async (t, stage) => {
  const log = journal()
  const { server, port } = serve(running(stage), log.handler)
  dial(stage, port)
  await log.opened()
  const done = closing(server, { deadlineMs: 100 })
  const late = await dial(stage, port).closed()
  t.is(late.error?.code, 'ECONNREFUSED')
  await done
  t.is(log.lives.length, 1)
  t.throws(() => server.listen('127.0.0.1:0'), { code: 'ERR_MIOLO_CLOSED' })
})

eachDriver('the port is free at once', async (t, stage) => {
  const loop = running(stage)
  const log = journal()
  const { server, port } = serve(loop, log.handler)
  dial(stage, port)
  await log.opened()
  void server.close({ deadlineMs: 100 })
  const next = new TcpServer(loop, log.handler)
  t.is(next.listen({ host: '127.0.0.1', port }).port, port)
  dial(stage, port)
  await log.opened(1)
})

eachDriver('inside data, with what is written there', async (t, stage) => {
  let done: Promise<unknown> | undefined
  const log = journal({
    data(conn) {
      conn.write('before')
      done = server.close({ deadlineMs: 10_000 })
      conn.write('after')
    },
  })
  const { server, port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  client.write('x')
  t.is((await client.rest()).toString(), 'before')
  client.socket.end()
  await log.closed()
  t.deepEqual(await within('close', () => done as Promise<unknown>), { end: 1 })
  areInOrder(t, log.lives)
})

for (const name of ['open', 'end', 'close'] as const) {
  eachDriver(`inside ${name}`, async (t, stage) => {
    let done: Promise<unknown> | undefined
    const log = journal({
      [name]() {
        done ??= server.close({ deadlineMs: 10_000 })
      },
    })
    const { server, port } = serve(running(stage), log.handler)
    dial(stage, port).socket.end()
    const { reason } = await log.closed()
    t.is(reason, 'end')
    t.deepEqual(
      await within('close', () => done as Promise<unknown>),
      name === 'close' ? {} : { end: 1 },
    )
    areInOrder(t, log.lives)
  })
}

eachDriver('every call returns the same promise', async (t, stage) => {
  const { server } = serve(running(stage), {})
  const first = server.close()
  t.is(server.close(), first)
  t.is(server.close({ deadlineMs: 5 }), first)
  await within('close', () => first)
  t.is(server.close(), first)
})

eachDriver(
  'connections that were accepted and not told of yet are closed and counted, too',
  async (t, stage) => {
    const log = journal()
    const { server, port } = serve(running(stage), log.handler)
    const clients = [0, 1, 2, 3].map(() => dial(stage, port))
    for (const client of clients) await client.connected()
    // By now the system has accepted them, or the loop thread; JavaScript may not know of any.
    const done = closing(server, { deadlineMs: 10_000 })
    for (const client of clients) {
      await client.over()
      client.socket.end()
    }
    const { end = 0, ...others } = await done
    t.deepEqual(others, {})
    t.true(end <= 4)
    areInOrder(t, log.lives)
    for (const { reason } of log.lives) t.is(reason, 'end')
  },
)

eachDriver('closing the loop resolves it', async (t, stage) => {
  const log = journal()
  const loop = running(stage)
  const { server, port } = serve(loop, log.handler)
  dial(stage, port)
  await log.opened()
  const done = closing(server)
  loop.close()
  t.deepEqual(await done, { shutdown: 1 })
  const other = new TcpServer(running(stage), {})
  t.deepEqual(await closing(other), {})
})

eachDriver('after the loop it resolves at once', async (t, stage) => {
  const loop = running(stage)
  const { server, port } = serve(loop, {})
  t.is(server.refused, 0)
  loop.close()
  t.deepEqual(await closing(server, { deadlineMs: 1 }), {})
  t.is(server.refused, 0)
  t.throws(() => server.listen({ host: '127.0.0.1', port }), { code: 'ERR_MIOLO_CLOSED' })
})

eachDriver('await using closes it at the end of its block', async (t, stage) => {
  const log = journal()
  const client = await within('the block', async () => {
    await using server = new TcpServer(running(stage), log.handler)
    const { port } = server.listen('127.0.0.1:0')
    const polite = dial(stage, port)
    await log.opened()
    log.lives[0]?.conn.write('bye')
    void polite.over().then(() => polite.socket.end())
    return polite
  })
  t.is(client.received.toString(), 'bye')
  t.is(log.lives[0]?.reason, 'end')
  t.is(await new TcpServer(running(stage), {})[Symbol.asyncDispose](), undefined)
})

eachDriver('what was refused can be asked for after it, too', async (t, stage) => {
  const log = journal()
  const { server, port } = serve(running(stage), log.handler, { maxConnections: 1 })
  dial(stage, port)
  await log.opened()
  const refused = dial(stage, port)
  await refused.over()
  await closing(server, { deadlineMs: 0 })
  t.is(server.refused, 1)
})

eachDriver('what was refused can be asked for after the loop, too', async (t, stage) => {
  for (const isClosing of [false, true]) {
    const log = journal({ close: () => void counts.push(server.refused) })
    const loop = running(stage)
    const { server, port } = serve(loop, log.handler, { maxConnections: 1, loops: 2 })
    const counts = [server.refused]
    dial(stage, port)
    await log.opened()
    for (let count = 0; count < 3; count++) await dial(stage, port).over()
    const done = isClosing ? closing(server) : undefined
    loop.close()
    t.is(server.refused, 3)
    await done
    await closing(server)
    t.is(server.refused, 3)
    t.deepEqual(counts, [0, 3])
  }
})

eachDriver('connections that this side began go on', async (t, stage) => {
  const loop = running(stage)
  const log = journal({ data: (conn, chunk) => void conn.write(chunk) })
  const echo = serve(loop, log.handler)
  const heard = journal()
  const { server } = serve(loop, {})
  const conn = await within('a connection', () => connect(loop, echo.address, heard.handler))
  await closing(server, { deadlineMs: 0 })
  conn.write('still here')
  await heard.until('an echo', () => heard.lives[0]?.chunks.length === 1)
  t.is(String(heard.lives[0]?.chunks[0]), 'still here')
})

eachDriver('servers come and go on one loop', async (t, stage) => {
  const loop = running(stage)
  for (let round = 0; round < 50; round++) {
    const log = journal({ data: (conn, chunk) => void conn.write(chunk) })
    const { server, port } = serve(loop, log.handler)
    const client = dial(stage, port)
    client.write('x')
    t.is((await client.take(1)).toString(), 'x')
    const done = closing(server)
    client.socket.end()
    const { end = 0 } = await done
    t.is(end, 1)
    areInOrder(t, log.lives)
  }
})

eachDriver(
  'what is on its way to a server that has left does not reach the next',
  async (t, stage) => {
    const loop = running(stage)
    const first = journal()
    const { server, port } = serve(loop, first.handler)
    const gone = new Int32Array(new SharedArrayBuffer(4))
    stage.keep(
      TestWorker.code(
        `const { port, gone } = require('node:worker_threads').workerData
      const socket = require('node:net').connect(port, '127.0.0.1')
      socket.on('connect', () => {
        socket.resetAndDestroy()
        Atomics.store(gone, 0, 1)
        Atomics.notify(gone, 0)
      })`,
        { workerData: { port, gone }, execArgv: [] },
      ),
    )
    // JavaScript does not read meanwhile that somebody has come, and gone.
    Atomics.wait(gone, 0, 0, 10_000)
    Atomics.wait(gone, 0, 1, 100)
    const done = closing(server)
    const second = journal()
    const next = serve(loop, second.handler)
    await done
    dial(stage, next.port)
    await second.opened()
    t.is(second.lives.length, 1)
  },
)
