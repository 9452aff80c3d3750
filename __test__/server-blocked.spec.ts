/** What goes on while JavaScript computes, with a loop thread: seen from another thread. */

import type { EventLoop, EventLoopConfig } from 'miolo'

import { calm } from './support/calm.ts'
import { deferred, DEADLINE_MS, within } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'
import { areInOrder, journal, running, serve } from './support/servers.ts'

/** Indices of what the two threads share. */
const [BUSY, RECEIVED, CLOSED] = [0, 1, 2]
/** What the server writes before it computes: more than the system takes while the client does not read. */
const SIZE = 16_000_000
/** How many come then, of whom there is room for one. */
const CROWD = 6
/** For how long the server computes where nobody sees to its connections: for longer than one may be idle. */
const BUSY_MS = 2000
const IDLE_MS = 1000

/** Makes the server busy, has others come, and counts what it and they see of the server. */
const CLIENT = `
  const { workerData: { port, states } } = require('node:worker_threads')
  const dial = () => require('node:net').connect({ port, host: '127.0.0.1' }).on('error', () => {})
  const busy = dial().on('data', (chunk) => Atomics.add(states, ${RECEIVED}, chunk.length))
  busy.on('connect', () => {
    busy.write('be busy')
    // Whatever the others see, they see later than that.
    Atomics.wait(states, ${BUSY}, 0)
    for (let index = 0; index < ${CROWD}; index++) {
      dial().resume().on('close', () => Atomics.add(states, ${CLOSED}, 1))
    }
  })
`

eachDriver('accepts, refusals, timeouts and flushes go on', async (t, stage) => {
  // Windows has `thread` in its place.
  const early = stage.driver !== 'embedded' || process.platform === 'win32'
  const states = new Int32Array(new SharedArrayBuffer(12))
  const seen = () => ({
    isFlushed: Atomics.load(states, RECEIVED) === SIZE,
    closed: Atomics.load(states, CLOSED),
  })
  const isThrough = () => seen().isFlushed && seen().closed === CROWD
  const meanwhile = deferred<ReturnType<typeof seen>>()
  const log = journal({
    data(conn) {
      conn.write(Buffer.alloc(SIZE))
      Atomics.store(states, BUSY, 1)
      Atomics.notify(states, BUSY)
      const until = performance.now() + (early ? DEADLINE_MS / 2 : BUSY_MS)
      while (!isThrough() && performance.now() < until);
      meanwhile.resolve(seen())
    },
  })
  const { server, port } = serve(running(stage), log.handler, {
    idleTimeoutMs: IDLE_MS,
    maxConnections: 2,
  })
  stage.keep(TestWorker.code(CLIENT, { workerData: { port, states }, execArgv: [] }))
  t.deepEqual(await within('the computation', () => meanwhile.promise), {
    isFlushed: early,
    closed: early ? CROWD : 0,
  })
  // One of those that came was accepted, and had its time; the server closed the others because of it.
  t.is((await log.closed(1)).reason, 'idle')
  t.is(server.refused, CROWD - 1)
  t.is((await log.closed(0)).reason, 'idle')
  areInOrder(t, log.lives)
})

/** Comes and says when it was closed, as often as it is told to. */
const AGED = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { port, closed } = workerData
  parentPort.on('message', () => {
    const socket = require('node:net').connect({ port, host: '127.0.0.1' })
    socket.on('close', () => {
      Atomics.store(closed, 0, 1)
      Atomics.notify(closed, 0)
      parentPort.postMessage('closed')
    })
    socket.on('error', () => {}).resume()
  })
`

/** How often: whether the thread that stands by sleeps right then is up to the system. */
const TIMES = 10

/** Has a connection's time be up while JavaScript does nothing; `begin` says when that starts, once the connection is open. */
function closesInTime(
  title: string,
  config: EventLoopConfig,
  begin: (block: () => void, loop: EventLoop) => void,
): void {
  eachDriver(title, async (t, stage) => {
    if (stage.driver === 'embedded') {
      t.pass()
      return
    }
    const closed = new Int32Array(new SharedArrayBuffer(4))
    let outcome = ''
    const block = () => {
      // JavaScript does nothing else until the client has seen the end, or for much too long.
      outcome = Atomics.wait(closed, 0, 0, DEADLINE_MS / 2)
    }
    const loop = running(stage, config)
    const log = journal({ open: () => begin(block, loop) })
    const { port } = serve(loop, log.handler, { lifetimeMs: 100 })
    const client = stage.keep(TestWorker.code(AGED, { workerData: { port, closed }, execArgv: [] }))
    for (let time = 0; time < TIMES; time++) {
      if (stage.driver === 'auto') await calm(loop)
      Atomics.store(closed, 0, 0)
      client.worker.postMessage('come')
      await client.message()
      const life = await log.closed(time)
      t.not(outcome, 'timed-out')
      t.is(life.reason, 'lifetime')
    }
    areInOrder(t, log.lives)
  })
}

closesInTime('a connection that has lasted long enough is closed', {}, (block) => block())

closesInTime('as it is where JavaScript computes outside of the loop', {}, (block) => {
  // By then there is nothing left to do but to wait for that time.
  setTimeout(block, 20)
})

const TINY = { eventCapacity: 16 } as const

closesInTime('as it is where the event ring is full of timeouts', TINY, (block, loop) => {
  for (let count = 0; count < 40; count++) loop.timeoutMs(count, 5)
  setImmediate(block)
})
