/** A connection that is paused: nothing of it is delivered before it is read again, and nothing is lost. */

import { eachDriver } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'
import { dial, type Journal, journal, running, serve } from './support/servers.ts'

/** Long enough for what would come though it must not. */
async function aWhile(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

const lines = ({ lives }: Journal) => lives[0]?.chunks.map(String)

eachDriver(
  'paused in data, it gets one piece at a time, and its end as the last',
  async (t, stage) => {
    const log = journal({ data: (conn) => conn.pause() })
    const { port } = serve(running(stage), log.handler, { framing: 'lines' })
    dial(stage, port).socket.end('one\ntwo\nthree\n')
    const { conn, calls } = await log.opened()
    for (const expected of [['one'], ['one', 'two'], ['one', 'two', 'three']]) {
      await log.until(expected.join(), () => lines(log)?.length === expected.length)
      await aWhile()
      t.deepEqual(lines(log), expected)
      t.false(calls.includes('end'))
      conn.resume()
    }
    await log.closed()
    t.deepEqual(calls, ['open', 'data', 'data', 'data', 'end', 'close'])
  },
)

eachDriver('others go on meanwhile', async (t, stage) => {
  const log = journal({
    data: (conn, chunk) => {
      if (String(chunk) === 'stop') conn.pause()
      else conn.write('heard')
    },
  })
  const { port } = serve(running(stage), log.handler, { framing: 'lines' })
  const [paused, other] = [dial(stage, port), dial(stage, port)]
  paused.write('stop\nmore\n')
  await log.until('a pause', () => log.lives.some(({ chunks }) => chunks.length === 1))
  other.write('hello\n')
  t.is(String(await other.take(5)), 'heard')
  log.lives.find(({ chunks }) => String(chunks[0]) === 'stop')?.conn.resume()
  t.is(String(await paused.take(5)), 'heard')
})

eachDriver('paused and read again in the same callback, it loses nothing', async (t, stage) => {
  const log = journal({
    data: (conn) => {
      conn.pause()
      conn.resume()
    },
  })
  const { port } = serve(running(stage), log.handler, { framing: 'lines' })
  const expected = Array.from({ length: 1000 }, (_, each) => `line ${each}`)
  dial(stage, port).socket.end(expected.map((line) => `${line}\n`).join(''))
  await log.closed()
  t.deepEqual(lines(log), expected)
})

eachDriver('what was kept comes before what is read later', async (t, stage) => {
  const log = journal({ data: (conn) => conn.pause() })
  const { port } = serve(running(stage), log.handler, { framing: 'lines' })
  const client = dial(stage, port)
  const expected = Array.from({ length: 30 }, (_, each) => `line ${each}`)
  client.write(expected.slice(0, 10).join('\n'))
  const { conn } = await log.opened()
  for (let count = 1; count <= 30; count++) {
    if (count === 5) client.write(`\n${expected.slice(10).join('\n')}\n`)
    await log.until(`line ${count}`, () => lines(log)?.length === count)
    conn.resume()
  }
  t.deepEqual(lines(log), expected)
})

eachDriver('what was kept comes before its close, where it is cut off', async (t, stage) => {
  const log = journal({ data: (conn) => conn.pause() })
  const { port } = serve(running(stage), log.handler, { framing: 'lines' })
  const client = dial(stage, port)
  client.write('one\ntwo\nthree\n')
  await log.until('a line', () => lines(log)?.length === 1)
  client.socket.resetAndDestroy()
  const { calls, reason } = await log.closed()
  t.deepEqual(calls, ['open', 'data', 'data', 'data', 'close'])
  t.is(reason, 'reset')
})

eachDriver('what was kept does not come where this side cuts it off', async (t, stage) => {
  const log = journal({ data: (conn) => conn.pause() })
  const { port } = serve(running(stage), log.handler, { framing: 'lines' })
  dial(stage, port).write('one\ntwo\nthree\n')
  await log.until('a line', () => lines(log)?.length === 1)
  log.lives[0]?.conn.abort()
  const { calls, reason } = await log.closed()
  t.deepEqual(calls, ['open', 'data', 'close'])
  t.is(reason, 'aborted')
})

eachDriver('nor where the loop is closed', async (t, stage) => {
  const log = journal({ data: (conn) => conn.pause() })
  const loop = running(stage)
  const { port } = serve(loop, log.handler, { framing: 'lines' })
  dial(stage, port).write('one\ntwo\nthree\n')
  await log.until('a line', () => lines(log)?.length === 1)
  loop.close()
  t.deepEqual(log.lives[0]?.calls, ['open', 'data', 'close'])
  t.is(log.lives[0]?.reason, 'shutdown')
})

eachDriver('a callback that throws at what was kept closes that connection', async (t, stage) => {
  const log = journal({
    data: (conn, chunk) => {
      if (String(chunk) === 'two') throw new Error('on purpose')
      conn.pause()
    },
  })
  const loop = stage.open()
  const run = loop.run({})
  const { port } = serve(loop, log.handler, { framing: 'lines' })
  dial(stage, port).write('one\ntwo\nthree\n')
  await log.until('a line', () => lines(log)?.length === 1)
  log.lives[0]?.conn.resume()
  await t.throwsAsync(run, { message: 'on purpose' })
  t.deepEqual(log.lives[0]?.calls, ['open', 'data', 'data', 'close'])
})

eachDriver('what is kept waits for the next run', async (t, stage) => {
  const loop = stage.open()
  const log = journal({
    data: (conn) => {
      conn.pause()
      loop.shutdown()
    },
  })
  const { port } = serve(loop, log.handler, { framing: 'lines' })
  dial(stage, port).write('one\ntwo\n')
  await loop.run({})
  t.deepEqual(lines(log), ['one'])
  log.lives[0]?.conn.resume()
  const names: string[] = []
  await loop.run({ tick: () => void names.push('tick') })
  t.deepEqual(lines(log), ['one', 'two'])
  t.deepEqual(names, ['tick'])
})

eachDriver('runSync gets what was kept, too', async (t, stage) => {
  const loop = stage.open<() => void>()
  const log = journal({
    data: (conn, chunk) => {
      conn.pause()
      if (String(chunk) === 'two') loop.shutdown()
      else loop.timeoutMs(() => conn.resume(), 5)
    },
  })
  const { port } = serve(loop, log.handler, { framing: 'lines' })
  await dial(stage, port).send('one\ntwo\n')
  loop.runSync({ timeout: (_, act) => act() })
  t.deepEqual(lines(log), ['one', 'two'])
})

for (const borrow of [true, 'checked'] as const) {
  eachDriver(`borrowed chunks are whole when they come later (${borrow})`, async (t, stage) => {
    const seen: Buffer[] = []
    const log = journal({
      data: (conn, chunk) => {
        conn.pause()
        seen.push(chunk)
      },
    })
    const { port } = serve(running(stage), log.handler, { framing: 'lines', borrow })
    dial(stage, port).write('one\ntwo\n')
    const { conn } = await log.opened()
    await log.until('one', () => lines(log)?.length === 1)
    conn.resume()
    await log.until('two', () => lines(log)?.length === 2)
    t.deepEqual(lines(log), ['one', 'two'])
    // A check that finds all who keep one.
    if (borrow === 'checked') t.not(String(seen[1]), 'two')
  })
}

/** A peer that sends as much as is taken, and says how much that was. */
const FLOOD = `
  const { parentPort, workerData: port } = require('node:worker_threads')
  const socket = require('node:net').connect(port, '127.0.0.1').on('error', () => {})
  const lines = Buffer.from(('x'.repeat(99) + '\\n').repeat(600))
  const more = () => { while (socket.write(lines)); }
  socket.on('connect', more).on('drain', more)
  parentPort.on('message', () => parentPort.postMessage(socket.bytesWritten - socket.writableLength))
`

eachDriver('a peer does not decide how much is kept', async (t, stage) => {
  let count = 0
  const log = journal({
    data(conn) {
      conn.pause()
      if (++count < 1000) {
        setImmediate(() => {
          conn.resume()
          conn.flush()
        })
      }
    },
  })
  const { port } = serve(running(stage), log.handler, { framing: 'lines' })
  const peer = stage.keep(TestWorker.code(FLOOD, { workerData: port, execArgv: [] }))
  await log.until('lines', () => count === 1000)
  peer.worker.postMessage('?')
  const taken = await peer.message<number>()
  // Most of it lies in the system's buffers.
  t.true(taken < 30e6, `${taken} bytes, of which ${count * 100} were delivered`)
})

eachDriver('a frame that is too large for the arena is kept as well', async (t, stage) => {
  const log = journal({ data: (conn) => conn.pause() })
  const { port } = serve(running(stage), log.handler, { framing: { length: 4 } })
  const frame = Buffer.alloc(300_004, 7)
  frame.writeUInt32BE(300_000)
  dial(stage, port).write(Buffer.concat([Buffer.from([0, 0, 0, 1, 9]), frame]))
  const { conn, chunks } = await log.opened()
  await log.until('the first', () => chunks.length === 1)
  await aWhile()
  t.is(chunks.length, 1)
  conn.resume()
  await log.until('the second', () => chunks.length === 2)
  t.deepEqual(chunks[1], frame.subarray(4))
})
