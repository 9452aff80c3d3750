/** Connections that this side begins. */

import net from 'node:net'

import { connect, type Connection, LoopError, TcpServer } from 'miolo'

import { descriptors } from './support/census.ts'
import { within } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { rejectsCode, throwsCode } from './support/errors.ts'
import { areInOrder, dial, journal, running, serve } from './support/servers.ts'

/** A port that nobody listens at. */
async function nobody(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

eachDriver('connect resolves to the connection, after `open`', async (t, stage) => {
  const loop = running(stage)
  const { address } = serve(loop, { data: (conn, chunk) => void conn.write(chunk) })
  const order: string[] = []
  const log = journal({ open: () => void order.push('open') })
  const conn = await within('a connection', () =>
    connect(loop, address, log.handler).then((made) => {
      order.push('resolved')
      return made
    }),
  )
  t.deepEqual(order, ['open', 'resolved'])
  t.is(conn, log.lives[0]?.conn as Connection)
  t.deepEqual(conn.remoteAddress, address)
  t.is(conn.localAddress?.address, '127.0.0.1')
  conn.write('hello')
  await log.until('data', () => log.lives[0]?.chunks.length === 1)
  conn.end()
  t.is((await log.closed()).reason, 'end')
  areInOrder(t, log.lives)
})

eachDriver('without a handler, to an address in any form', async (t, stage) => {
  const loop = running(stage)
  const log = journal()
  const { address } = serve(loop, log.handler)
  const forms = [address, `127.0.0.1:${address.port}`, { host: '127.0.0.1', port: address.port }]
  for (const form of forms) {
    const conn = await within('a connection', () => connect(loop, form))
    conn.end('x')
  }
  for (const index of forms.keys()) t.is(String((await log.closed(index)).chunks[0]), 'x')
})

eachDriver('nobody listens: ECONNREFUSED, and no callback', async (t, stage) => {
  const loop = running(stage)
  const log = journal()
  const port = await nobody()
  const before = descriptors()
  for (let count = 0; count < 20; count++) {
    const made = within('a refusal', () => connect(loop, { host: '127.0.0.1', port }, log.handler))
    const error = (await rejectsCode(t, made, 'ECONNREFUSED')) as unknown as Record<string, unknown>
    t.is(error['syscall'], 'connect')
    t.is(error['address'], '127.0.0.1')
    t.is(error['port'], port)
    t.is(typeof error['errno'], 'number')
  }
  t.is(log.lives.length, 0)
  t.true(descriptors() <= before)
})

eachDriver('nobody answers: ETIMEDOUT, after connectTimeoutMs', async (t, stage) => {
  const loop = running(stage)
  // A listener that accepts nobody, whose queue is full.
  const deaf = new TcpServer(stage.open(), {}, { backlog: 0 })
  const { port } = deaf.listen('127.0.0.1:0')
  const crowd = Array.from({ length: 8 }, () => dial(stage, port))
  await crowd[0]?.connected()
  const options = { connectTimeoutMs: 100 }
  const attempts = Array.from({ length: 4 }, async () => {
    const before = performance.now()
    try {
      const conn = await connect(loop, { host: '127.0.0.1', port }, {}, options)
      conn.abort()
      return 'made'
    } catch (error) {
      t.is((error as NodeJS.ErrnoException).code, 'ETIMEDOUT')
      t.true(performance.now() - before >= 95)
      return 'late'
    }
  })
  const outcomes = await within('the attempts', () => Promise.all(attempts))
  if (process.platform === 'linux') t.true(outcomes.includes('late'), outcomes.join())
})

eachDriver('a timeout that is not needed does no harm', async (t, stage) => {
  const loop = running(stage)
  const { address } = serve(loop, {})
  const log = journal()
  await within('a connection', () => connect(loop, address, log.handler, { connectTimeoutMs: 30 }))
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.is(log.lives[0]?.reason, undefined)
})

eachDriver('what the system refuses at once is a rejection', async (t, stage) => {
  const loop = running(stage)
  const made = within('a refusal', () => connect(loop, '255.255.255.255:1'))
  const error = (await t.throwsAsync(made)) as NodeJS.ErrnoException
  t.true(
    ['EACCES', 'ENETUNREACH', 'EHOSTUNREACH', 'EINVAL', 'ECONNREFUSED', 'EPERM'].includes(
      error.code as string,
    ),
    error.message,
  )
  t.is(error.syscall, 'connect')
})

eachDriver('arguments that make no sense throw, and nothing is begun', (t, stage) => {
  const loop = running(stage)
  const bad = (code: string, ...args: unknown[]) =>
    throwsCode(t, () => (connect as (...args: unknown[]) => unknown)(...args), code)
  bad('ERR_INVALID_ARG_TYPE', undefined, '127.0.0.1:1')
  bad('ERR_INVALID_ARG_TYPE', {}, '127.0.0.1:1')
  bad('ERR_INVALID_ARG_VALUE', loop, 'localhost')
  bad('ERR_INVALID_ARG_VALUE', loop, 'example.com:80')
  bad('ERR_OUT_OF_RANGE', loop, { host: '127.0.0.1', port: 65_536 })
  bad('ERR_INVALID_ARG_TYPE', loop, '127.0.0.1:1', 'handler')
  bad('ERR_INVALID_ARG_TYPE', loop, '127.0.0.1:1', { data: 1 })
  bad('ERR_INVALID_ARG_TYPE', loop, '127.0.0.1:1', {}, 'options')
  bad('ERR_OUT_OF_RANGE', loop, '127.0.0.1:1', {}, { connectTimeoutMs: -1 })
  bad('ERR_INVALID_ARG_VALUE', loop, '127.0.0.1:1', {}, { framing: 'words' })
  loop.close()
  throwsCode(t, () => connect(loop, '127.0.0.1:1'), 'ERR_MIOLO_CLOSED', LoopError)
})

eachDriver('the server goes: both sides are told', async (t, stage) => {
  const [near, far] = [running(stage), running(stage)]
  const log = journal()
  const { address } = serve(far, {})
  await within('a connection', () => connect(near, address, log.handler))
  far.close()
  const { reason, calls } = await log.closed()
  t.true(reason === 'end' || reason === 'reset', reason)
  areInOrder(t, log.lives)
  t.is(calls[0], 'open')
  await rejectsCode(
    t,
    within('a refusal', () => connect(near, address)),
    'ECONNREFUSED',
  )
})

eachDriver('what the server writes at once is not missed', async (t, stage) => {
  const loop = running(stage)
  const { address } = serve(loop, { open: (conn) => conn.end('greeting') })
  for (let count = 0; count < 50; count++) {
    const log = journal()
    await within('a connection', () => connect(loop, address, log.handler))
    const { chunks, reason } = await log.closed()
    t.is(Buffer.concat(chunks).toString(), 'greeting')
    t.is(reason, 'end')
  }
})

eachDriver(
  'an `open` that throws fails the run, and the connection is closed',
  async (t, stage) => {
    const loop = stage.open()
    const run = loop.run({})
    const { address } = serve(loop, {})
    const failure = new Error('on purpose')
    const log = journal({
      open() {
        throw failure
      },
    })
    const made = connect(loop, address, log.handler)
    t.is(await t.throwsAsync(within('the run', () => run)), failure)
    const conn = await within('the promise', () => made)
    t.false(conn.write('x'))
    t.is(log.lives[0]?.reason, 'error')
    t.is(log.lives[0]?.error, failure)
  },
)

eachDriver('a connection waits for a loop that does not run', async (t, stage) => {
  const loop = stage.open()
  const { address } = serve(running(stage), {})
  let isMade = false
  const made = connect(loop, address).then((conn) => {
    isMade = true
    return conn
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.false(isMade)
  void loop.run({})
  const conn = await within('a connection', () => made)
  t.true(conn.write('x'))
})

eachDriver('closing the loop rejects what is being made', async (t, stage) => {
  const loop = running(stage)
  const deaf = new TcpServer(stage.open(), {})
  const made = connect(loop, deaf.listen('127.0.0.1:0'))
  loop.close()
  await rejectsCode(
    t,
    within('the promise', () => made),
    'ERR_MIOLO_CLOSED',
    LoopError,
  )
})

eachDriver('a connect that lasts is no reason to be idle', async (t, stage) => {
  const loop = running(stage)
  const log = journal()
  const { port } = serve(loop, log.handler, { idleTimeoutMs: 1500 })
  const client = dial(stage, port)
  await log.opened()
  // The clock of an iteration that does not come: nothing else happens on this loop.
  const deaf = new TcpServer(stage.open(), {}, { backlog: 0 })
  const where = deaf.listen('127.0.0.1:0')
  for (let count = 0; count < 4; count++)
    void connect(loop, where, {}, { connectTimeoutMs: 60_000 }).catch(() => {})
  for (let count = 0; count < 4; count++) {
    await new Promise((resolve) => setTimeout(resolve, 700))
    await client.send('x')
  }
  t.is(log.lives[0]?.reason, undefined)
})

eachDriver('many at once', async (t, stage) => {
  const loop = running(stage)
  const { server, address } = serve(loop, { data: (conn, chunk) => void conn.end(chunk) })
  const log = journal({ open: (conn) => void conn.write('x') })
  await within('connections', () =>
    Promise.all(Array.from({ length: 200 }, () => connect(loop, address, log.handler))),
  )
  for (let index = 0; index < 200; index++) t.is((await log.closed(index)).reason, 'end')
  areInOrder(t, log.lives)
  await within('the other ends', async () => {
    while (server.connections.size > 0) await new Promise((resolve) => setImmediate(resolve))
  })
})
