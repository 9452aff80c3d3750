/** The driver `auto`: as long as JavaScript is never late, it keeps the loop. */

import type { ExecutionContext } from 'ava'
import { EventLoop, TcpServer } from 'miolo'

import { calm } from './support/calm.ts'
import { compute } from './support/compute.ts'
import { deferred, within } from './support/deadline.ts'
import { onUnix } from './support/platform.ts'
import { TestWorker } from './support/process.ts'

/** So many callbacks in succession are looked at, after some in which what was begun before comes to its end. */
const [BEFORE, LOOKED_AT] = [10, 30]

/** In milliseconds, by the common clock of all threads. */
const now = () => Number(process.hrtime.bigint()) / 1e6

/**
 * Echoes what a client in another thread sends until JavaScript has not been late for long enough, which on a busy
 * machine may take a while; and has the hand-overs at each callback of that time.
 */
async function whilePunctual(
  t: ExecutionContext,
  client: string,
  isPunctual: (chunk: Buffer, count: number) => boolean,
): Promise<number[]> {
  const loop = new EventLoop({ driver: 'auto' })
  t.teardown(() => loop.close())
  const found = deferred<number[]>()
  let handovers: number[] = []
  const server = new TcpServer(loop, {
    data(conn, chunk) {
      const metrics = loop.metrics()
      const isRelieved = metrics.turner === 'thread' && handovers.length <= BEFORE
      if (!isPunctual(chunk, handovers.length) || isRelieved) handovers = []
      else handovers.push(metrics.handovers)
      if (handovers.length === BEFORE + LOOKED_AT) found.resolve(handovers.slice(BEFORE))
      conn.write(chunk)
    },
  })
  const { port } = server.listen('127.0.0.1:0')
  const run = loop.run({})
  const worker = TestWorker.code(client, { workerData: port, execArgv: [] })
  t.teardown(() => worker.close())
  const counts = await within('a time in which JavaScript is not late', () => found.promise)
  loop.shutdown()
  await run
  return counts
}

onUnix('nothing is handed over while JavaScript is busy, but never late', async (t) => {
  // Two who send again and again what comes back to them.
  const client = `
    const { workerData: port } = require('node:worker_threads')
    const net = require('node:net')
    for (const name of ['ada', 'bob']) {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
      socket.on('connect', () => socket.write(name)).on('data', (echo) => socket.write(echo))
    }
  `
  let last = 0
  const counts = await whilePunctual(t, client, (_, count) => {
    const began = now()
    // Now and then one of the two has to wait for the other.
    if (count % 10 === 0) while (now() < began + 0.5);
    const gap = began - last
    last = began
    // From the beginning of one turn to that of the next it may be two of these: less than what JavaScript is allowed.
    return gap < 1.5
  })
  t.is(counts.at(-1), counts[0])
})

onUnix(
  'nothing is handed over while JavaScript is busy elsewhere, but never for long',
  async (t) => {
    const client = `
    const { workerData: port } = require('node:worker_threads')
    const net = require('node:net')
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    // It comes at any time of what else JavaScript does.
    const send = (echo) => (count++ % 2 === 0 ? socket.write(echo) : setTimeout(() => socket.write(echo), 1))
    let count = 0
    socket.on('connect', () => socket.write('x')).on('data', send)
  `
    // A system that leaves JavaScript waiting shows as a gap, too.
    let [last, longest] = [now(), 0]
    const look = () => {
      const before = last
      last = now()
      longest = Math.max(longest, last - before)
    }
    const busy = setInterval(() => {
      look()
      compute(1.5)
    }, 1)
    t.teardown(() => clearInterval(busy))
    const counts = await whilePunctual(t, client, () => {
      look()
      const isPunctual = longest < 3
      longest = 0
      return isPunctual
    })
    t.is(counts.at(-1), counts[0])
  },
)

onUnix('nothing is handed over while JavaScript sleeps, and wakes up in time', async (t) => {
  // Says when it sends, each time after a sleep that is longer than what JavaScript is allowed.
  const client = `
    const { workerData: port } = require('node:worker_threads')
    const net = require('node:net')
    const message = new Float64Array(1)
    const send = () => {
      message[0] = Number(process.hrtime.bigint()) / 1e6
      socket.write(new Uint8Array(message.buffer.slice(0)))
    }
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    socket.on('connect', send).on('data', () => setTimeout(send, 6))
  `
  const counts = await whilePunctual(t, client, (chunk) => now() - chunk.readDoubleLE() < 3)
  t.is(counts.at(-1), counts[0])
})

onUnix('what JavaScript has been given back is not taken away at once', async (t) => {
  const loop = new EventLoop({ driver: 'auto' })
  t.teardown(() => loop.close())
  const server = new TcpServer(loop, { data: (conn, chunk) => void conn.write(chunk) })
  const { port } = server.listen('127.0.0.1:0')
  void loop.run({})
  const client = `
    const { parentPort, workerData: port } = require('node:worker_threads')
    const net = require('node:net')
    for (let count = 0; count < 8; count++) {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
      socket.on('connect', () => socket.write('hello')).on('data', (echo) => socket.write(echo))
      socket.once('data', () => parentPort.postMessage('served'))
    }
  `
  const worker = TestWorker.code(client, { workerData: port, execArgv: [] })
  t.teardown(() => worker.close())
  for (let count = 0; count < 8; count++) await worker.message()
  // Each time that it is late it is relieved once. On a busy machine it may be late more often, so this is tried again.
  const relieved = async (times: number) => {
    await calm(loop)
    const before = loop.metrics().handovers
    for (let time = 0; time < times; time++) {
      compute(15)
      await calm(loop)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await calm(loop)
    return loop.metrics().handovers - before
  }
  const counts: number[] = []
  await within('as many hand-overs as there are reasons', async () => {
    do counts.push(await relieved(16))
    while (counts.at(-1) !== 32)
  })
  t.is(counts.at(-1), 32)
})
