/** What is written: in order, together, within limits. */

import { createHash, randomBytes } from 'node:crypto'

import type { ExecutionContext } from 'ava'
import { type Connection, connect } from 'miolo'

import { deferred, within } from './support/deadline.ts'
import { eachDriver, type Stage } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { TestWorker } from './support/process.ts'
import { dial, journal, running, serve } from './support/servers.ts'

/** A connection, and the socket at its other end. */
async function linked(
  stage: Stage,
  { silent = false, ...options }: Parameters<typeof serve>[2] & { silent?: boolean } = {},
) {
  const log = journal()
  const loop = running(stage)
  const { port } = serve(loop, log.handler, options)
  const client = await dial(stage, port, { silent }).connected()
  const { conn } = await log.opened()
  return { loop, log, conn, client }
}

eachDriver('what is written comes in order, whatever its size and kind', async (t, stage) => {
  const { conn, client } = await linked(stage)
  const parts: Buffer[] = []
  for (let count = 0; count < 2000; count++) {
    const size = [0, 1, 2, 7, 8, 9, 33, 300, 5000][count % 9] as number
    const part = Buffer.alloc(size, String.fromCharCode(97 + (count % 26)))
    parts.push(part)
    conn.write(count % 2 === 0 ? part : part.toString())
    // Some in one batch, some in the next.
    if (count % 100 === 99) await new Promise((resolve) => setImmediate(resolve))
  }
  const whole = Buffer.concat(parts)
  t.true((await client.take(whole.length)).equals(whole))
})

eachDriver('writes to many connections, in turn, do not mix', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler)
  const clients = Array.from({ length: 20 }, () => dial(stage, port))
  await log.opened(19)
  const expected = new Map<number, string>()
  for (let round = 0; round < 200; round++) {
    for (const { conn } of log.lives) {
      const { port: peer } = conn.remoteAddress!
      const text = `${peer} ${'x'.repeat(round % 40)};`
      conn.write(round % 3 === 0 ? Buffer.from(text) : text)
      expected.set(peer, (expected.get(peer) ?? '') + text)
    }
  }
  for (const client of clients) {
    const text = expected.get(client.socket.localPort as number) as string
    t.is((await client.take(text.length)).toString(), text)
  }
})

eachDriver('writes of one batch arrive together', async (t, stage) => {
  const { conn, client } = await linked(stage)
  const chunks: number[] = []
  client.socket.on('data', (chunk) => chunks.push(chunk.length))
  for (let count = 0; count < 1000; count++) conn.write('0123456789')
  await client.take(10_000)
  t.true(chunks.length <= 2, `in ${chunks.length} pieces`)
})

eachDriver('cork takes a function only', async (t, stage) => {
  const { conn } = await linked(stage)
  for (const wrong of [undefined, null, 'x', {}]) {
    throwsCode(t, () => conn.cork(wrong as never), 'ERR_INVALID_ARG_TYPE', TypeError)
  }
})

eachDriver('cork returns what its function does, and throws what it does', async (t, stage) => {
  const { conn, client } = await linked(stage)
  const failure = new Error('on purpose')
  t.is(
    conn.cork(() => conn.cork(() => (conn.write('a'), conn.write('b'), 'result'))),
    'result',
  )
  t.throws(
    () =>
      conn.cork(() => {
        conn.write('c')
        throw failure
      }),
    { is: failure },
  )
  t.is((await client.take(3)).toString(), 'abc')
  conn.write('d')
  t.is((await client.take(1)).toString(), 'd')
})

eachDriver('strings are UTF-8, however long', async (t, stage) => {
  const { conn, client } = await linked(stage)
  const texts = [
    'é',
    '€uro',
    '😀'.repeat(10),
    `${'x'.repeat(31)}é`,
    '€'.repeat(30_000),
    '€'.repeat(100_000),
    '😀'.repeat(300_000),
    'x'.repeat(1_000_000),
    '\0',
    // What is no character becomes the one that says so.
    'a\ud800b',
  ]
  for (const text of texts) {
    conn.write(text)
    const expected = Buffer.from(text)
    t.true((await client.take(expected.length)).equals(expected), text.slice(0, 10))
  }
})

eachDriver('bytes are those of any Uint8Array, and are copied', async (t, stage) => {
  const { conn, client } = await linked(stage)
  const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  conn.write(bytes.subarray(2, 5))
  bytes.fill(0)
  const shared = new Uint8Array(new SharedArrayBuffer(3)).fill(7)
  conn.write(shared)
  class Odd extends Uint8Array {
    override get length() {
      return 1_000_000
    }
  }
  conn.write(new Odd([9, 9]))
  t.deepEqual([...(await client.take(8))], [3, 4, 5, 7, 7, 7, 9, 9])
})

eachDriver('nothing is nothing', async (t, stage) => {
  const { conn, client } = await linked(stage)
  t.true(conn.write(''))
  t.true(conn.write(Buffer.alloc(0)))
  t.is(conn.bufferedAmount, 0)
  conn.end('')
  t.is((await client.rest()).length, 0)
})

eachDriver('64 MB arrive unharmed', async (t, stage) => {
  const part = randomBytes(1 << 20)
  const hash = createHash('sha1')
  const received = createHash('sha1')
  let left = 64
  const log = journal({
    open: (conn) => pump(conn),
    drain: (conn) => pump(conn),
  })
  function pump(conn: Connection) {
    while (left > 0) {
      left--
      part.writeUInt32LE(left)
      hash.update(part)
      if (!conn.write(part)) return
    }
    conn.end()
  }
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port, { silent: true })
  let count = 0
  client.socket.on('data', (chunk: Buffer) => {
    received.update(chunk)
    count += chunk.length
  })
  client.socket.on('end', () => client.socket.end())
  t.is((await log.closed()).reason, 'end')
  t.is(count, 64 << 20)
  t.is(received.digest('hex'), hash.digest('hex'))
})

/** A client that reads all, and goes while it is still to be read from; another one comes, in its place. */
const SUCCESSORS = `
  const { workerData: { port, flag } } = require('node:worker_threads')
  const net = require('node:net')
  const { once } = require('node:events')
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
  const go = async () => {
    const first = net.connect(port, '127.0.0.1').on('error', () => {})
    for (let count = 0; count < 1_000_000; ) count += (await once(first, 'data'))[0].length
    first.write('block')
    while (Atomics.load(flag, 0) === 0) await sleep(5)
    first.write('last words')
    await sleep(50)
    first.resetAndDestroy()
    await sleep(50)
    const second = net.connect(port, '127.0.0.1').on('error', () => {})
    await once(second, 'connect')
    await sleep(50)
    Atomics.store(flag, 1, 1)
    Atomics.notify(flag, 1)
  }
  go()
`

eachDriver('how much waits is not changed by who has its place next', async (t, stage) => {
  const flag = new Int32Array(new SharedArrayBuffer(8))
  const buffered: number[] = []
  let left = 50
  const fill = (conn: Connection) => {
    while (left-- > 0) if (!conn.write(Buffer.alloc(20_000))) return
  }
  const log = journal({
    open: fill,
    drain: fill,
    data(conn, chunk) {
      if (!String(chunk).startsWith('block')) return
      Atomics.store(flag, 0, 1)
      Atomics.wait(flag, 1, 0, 10_000)
      buffered.push(conn.bufferedAmount)
      t.true(conn.write('an answer'))
    },
    close: (conn) => void buffered.push(conn.bufferedAmount),
  })
  const limits = { highWaterMark: 60_000, maxWriteBuffer: 200_000 }
  const { port } = serve(running(stage), log.handler, limits)
  const workerData = { port, flag }
  stage.keep(TestWorker.code(SUCCESSORS, { workerData, execArgv: [] }))
  const { chunks, reason } = await log.closed()
  t.deepEqual(buffered, [0, 0])
  t.is(reason, 'reset')
  // Without a thread it was too late to read them.
  if (stage.driver !== 'embedded') t.is(Buffer.concat(chunks).toString(), 'blocklast words')
})

eachDriver('1 GB at once is an overflow, and takes no memory', async (t, stage) => {
  const { conn, log, client } = await linked(stage, { silent: true })
  const huge = Buffer.allocUnsafeSlow(2 ** 30)
  const before = process.memoryUsage().rss
  t.false(conn.write(huge))
  t.false(conn.write('more'))
  t.true(process.memoryUsage().rss - before < 64 * 2 ** 20)
  t.is((await log.closed()).reason, 'overflow')
  client.listen()
  await client.over()
})

eachDriver('1 GB bit by bit is an overflow, and takes no more than it may', async (t, stage) => {
  const { conn, log } = await linked(stage, { silent: true, maxWriteBuffer: 10_000_000 })
  const part = Buffer.alloc(1_000_000)
  const before = process.memoryUsage().rss
  for (let count = 0; count < 1000; count++) conn.write(part)
  t.is((await log.closed()).reason, 'overflow')
  t.true(process.memoryUsage().rss - before < 100 * 2 ** 20)
})

eachDriver('a long string is an overflow', async (t, stage) => {
  for (const text of ['x'.repeat(1001), '€'.repeat(334), 'x'.repeat(2 ** 28)]) {
    const { conn, log } = await linked(stage, { maxWriteBuffer: 1000 })
    t.false(conn.write(text))
    t.is((await log.closed()).reason, 'overflow')
  }
})

eachDriver('as much as may wait is no overflow', async (t, stage) => {
  const { conn, client } = await linked(stage, { maxWriteBuffer: 1000 })
  for (const text of ['€'.repeat(333), 'x']) conn.write(text)
  t.is((await client.take(1000)).length, 1000)
})

eachDriver('however little may wait, write is false before it is too much', async (t, stage) => {
  const { conn, client, log } = await linked(stage, { maxWriteBuffer: 1000 })
  t.true(conn.write('x'.repeat(500)))
  t.false(conn.write('x'))
  await client.take(501)
  await log.until('drain', () => log.lives[0]?.calls.includes('drain') === true)
})

eachDriver('write is false above highWaterMark, and drain comes', async (t, stage) => {
  const drains: number[] = []
  const log = journal({ drain: (conn) => void drains.push(conn.bufferedAmount) })
  const { port } = serve(running(stage), log.handler, { highWaterMark: 10_000, lowWaterMark: 1000 })
  const client = dial(stage, port)
  const { conn } = await log.opened()
  t.true(conn.write(Buffer.alloc(10_000)))
  t.false(conn.write(Buffer.alloc(10_001)))
  t.false(conn.write(''))
  await client.take(20_001)
  await log.until('drain', () => drains.length > 0)
  t.true(conn.write('y'))
  await client.take(1)
  t.deepEqual(drains, [0])
})

eachDriver('drain comes at lowWaterMark, once for each write that was false', async (t, stage) => {
  const options = { highWaterMark: 1_000_000, lowWaterMark: 500_000 }
  const drains: number[] = []
  const log = journal({ drain: (conn) => void drains.push(conn.bufferedAmount) })
  const { port } = serve(running(stage), log.handler, options)
  const client = await dial(stage, port, { silent: true }).connected()
  const { conn } = await log.opened()
  let written = 0
  // Until the system takes no more.
  do {
    conn.write(Buffer.alloc(100_000))
    written += 100_000
    await new Promise((resolve) => setImmediate(resolve))
  } while (conn.bufferedAmount <= 1_000_000)
  drains.length = 0
  t.false(conn.write('x'))
  written++
  client.listen()
  await client.take(written)
  await log.until('drain', () => drains.length > 0)
  t.is(drains.length, 1)
  t.true((drains[0] as number) <= 500_000)
})

eachDriver('with a highWaterMark of 0 each write is false, and drained', async (t, stage) => {
  let left = 100
  const log = journal({
    open: (conn) => void t.false(conn.write('x')),
    drain(conn) {
      if (--left > 0) t.false(conn.write('x'))
      else conn.end()
    },
  })
  const { port } = serve(running(stage), log.handler, { highWaterMark: 0 })
  t.is((await dial(stage, port).rest()).length, 100)
})

eachDriver('drain does not come where no write was false', async (t, stage) => {
  const { conn, client, log } = await linked(stage)
  for (let count = 0; count < 10; count++) {
    t.true(conn.write(Buffer.alloc(1000)))
    await client.take(1000)
  }
  client.socket.end()
  await log.closed()
  t.false(log.lives[0]?.calls.includes('drain'))
})

eachDriver('bufferedAmount grows with what is written and goes back to 0', async (t, stage) => {
  const { conn, client } = await linked(stage)
  t.is(conn.bufferedAmount, 0)
  let took
  do {
    const started = performance.now()
    conn.write('abc')
    conn.write('€')
    const waits = conn.bufferedAmount
    took = performance.now() - started
    // Later a thread may have sent it.
    if (took < 2) t.is(waits, 6)
    await client.take(6)
    await within('nothing', async () => {
      while (conn.bufferedAmount > 0) await new Promise((resolve) => setImmediate(resolve))
    })
  } while (took >= 2)
  t.is(conn.bufferedAmount, 0)
})

eachDriver('writes from timers, promises and other loops are sent', async (t, stage) => {
  const { conn, client } = await linked(stage)
  setTimeout(() => conn.write('a'), 5)
  t.is((await client.take(1)).toString(), 'a')
  await Promise.resolve()
  conn.write('b')
  t.is((await client.take(1)).toString(), 'b')
  setImmediate(() => conn.write('c'))
  t.is((await client.take(1)).toString(), 'c')
  process.nextTick(() => conn.write('d'))
  t.is((await client.take(1)).toString(), 'd')
  const other = stage.open()
  other.timeoutMs('t', 1)
  void other.run({ timeout: () => void conn.write('e') })
  t.is((await client.take(1)).toString(), 'e')
})

eachDriver('a write, and a message of the loop sent with it', async (t, stage) => {
  const loop = stage.open<unknown, number>()
  const log = journal()
  const seen: number[] = []
  void loop.run({ notify: (_, message) => void seen.push(message) })
  const { port } = serve(loop, log.handler)
  const client = await dial(stage, port).connected()
  const { conn } = await log.opened()
  for (let count = 0; count < 100; count++) {
    conn.write('x')
    loop.channel().send(count)
    conn.write('y')
    t.is((await client.take(2)).toString(), 'xy')
  }
  t.is(seen.length, 100)
})

eachDriver('resume goes through together with a message', async (t, stage) => {
  const loop = stage.open<unknown, number>()
  const log = journal()
  void loop.run({})
  const { port } = serve(loop, log.handler)
  const client = await dial(stage, port).connected()
  const { conn, chunks } = await log.opened()
  for (let count = 0; count < 50; count++) {
    conn.pause()
    // Until the loop knows.
    loop.channel().send(0)
    await new Promise((resolve) => setImmediate(resolve))
    const before = chunks.length
    await client.send('x')
    conn.resume()
    loop.channel().send(1)
    await log.until('data', () => chunks.length > before)
  }
  t.is(Buffer.concat(chunks).length, 50)
})

eachDriver(
  'on a loop that does not run write is false, and is sent when it does',
  async (t, stage) => {
    const loop = stage.open()
    const log = journal()
    let run = loop.run({})
    const { port } = serve(loop, log.handler)
    const client = dial(stage, port)
    const { conn, calls } = await log.opened()
    loop.shutdown()
    await within('the end of the run', () => run)
    t.false(conn.write('later'))
    t.false(conn.write('!'))
    t.is(conn.bufferedAmount, 6)
    run = loop.run({})
    t.is((await client.take(6)).toString(), 'later!')
    await log.until('drain', () => calls.includes('drain'))
    t.true(conn.write('now'))
    t.is((await client.take(3)).toString(), 'now')
    loop.shutdown()
    await within('the end of the run', () => run)
    // More than the arena holds, with nobody to send it.
    for (let count = 0; count < 100; count++) t.false(conn.write(Buffer.alloc(100_000)))
    conn.pause()
    conn.resume()
    run = loop.run({})
    t.is((await client.take(10_000_000)).length, 10_000_000)
    loop.close()
    await within('the end of the run', () => run)
    t.false(conn.write('gone'))
  },
)

eachDriver(
  'many small writes on many connections, far more than the rings hold',
  async (t, stage) => {
    const loop = running(stage, { eventCapacity: 16 })
    const log = journal()
    const { port } = serve(loop, log.handler)
    const clients = Array.from({ length: 30 }, () => dial(stage, port))
    await log.opened(29)
    for (let round = 0; round < 100; round++) {
      for (const { conn } of log.lives) conn.write(`${round};`)
    }
    const expected = Array.from({ length: 100 }, (_, round) => `${round};`).join('')
    for (const client of clients) t.is((await client.take(expected.length)).toString(), expected)
    for (const { conn } of log.lives) conn.abort()
    for (const index of clients.keys()) t.is((await log.closed(index)).reason, 'aborted')
  },
)

eachDriver('two connections of one loop write to each other', async (t, stage) => {
  const loop = running(stage)
  const done = deferred()
  let left = 1000
  const bounce = (conn: Connection, chunk: Buffer) => {
    if (--left <= 0) {
      conn.end()
      done.resolve()
    } else conn.write(chunk)
  }
  const { address } = serve(loop, { data: bounce })
  const conn = await within('a connection', () => connect(loop, address, { data: bounce }))
  conn.write('ball')
  await within('the game', () => done.promise)
  t.true(left <= 0)
})

/** As when the JS thread takes in by itself what was asked of connections, for a message's sake. */
async function endMany(t: ExecutionContext, stage: Stage) {
  const loop = stage.open<unknown, number>({ eventCapacity: 16 })
  void loop.run({})
  const log = journal()
  const { port } = serve(loop, log.handler)
  for (let count = 0; count < 40; count++) dial(stage, port)
  await log.opened(39)
  for (const { conn } of log.lives) conn.abort()
  loop.channel().send(1)
  await within('all ends', () => log.closed(39), 5000)
  for (const { reason } of log.lives) t.is(reason, 'aborted')
}

eachDriver('many ends at once, in a ring that is too small for them', endMany)

eachDriver('resume, and what was written sent at once', async (t, stage) => {
  const { conn, client, log } = await linked(stage)
  for (let count = 0; count < 20; count++) {
    const before = log.lives[0]?.chunks.length ?? 0
    conn.pause()
    conn.flush()
    await client.send('x')
    await new Promise((resolve) => setTimeout(resolve, 5))
    conn.resume()
    conn.flush()
    await within(
      'data',
      () => log.until('data', () => (log.lives[0]?.chunks.length ?? 0) > before),
      5000,
    )
  }
  t.pass()
})
