/** What goes on while JavaScript computes, with a loop thread: seen from another thread. */

import type { EventLoop, EventLoopConfig } from 'miolo'

import { calm } from './support/calm.ts'
import { compute } from './support/compute.ts'
import { DEADLINE_MS } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'
import { areInOrder, journal, running, serve } from './support/servers.ts'

/** Says when each of several things has happened to its sockets, in milliseconds since it was told to begin. */
const CLIENT = `
  const { parentPort, workerData } = require('node:worker_threads')
  const net = require('node:net')
  const { port, quiet, crowd } = workerData
  const began = Date.now()
  const said = {}
  const note = (name) => { said[name] ??= Date.now() - began }
  const dial = () => net.connect({ port, host: '127.0.0.1' }).on('error', () => {})
  const idle = dial()
  idle.on('connect', () => {
    const busy = dial()
    busy.on('connect', () => {
      busy.write('block')
      let count = 0
      busy.on('data', (chunk) => { note('first'); count += chunk.length; if (count >= quiet) note('flushed') })
      busy.on('close', () => note('busy closed'))
      // Once it computes.
      setTimeout(() => {
        dial().on('connect', () => note('accepted')).on('close', () => note('accepted closed'))
        for (let index = 0; index < crowd; index++) {
          dial().on('close', () => { said.refused = (said.refused ?? 0) + 1; note('refused at') }).resume()
        }
      }, 200)
    })
  })
  idle.on('close', () => note('idle closed')).resume()
  parentPort.on('message', () => { parentPort.postMessage(said); process.exit() })
`

eachDriver('accepts, refusals, timeouts and flushes go on', async (t, stage) => {
  if (stage.driver === 'embedded') {
    t.pass()
    return
  }
  const BLOCK_MS = 2000
  const size = 8_000_000
  let began = 0
  const log = journal({
    data(conn) {
      if (began !== 0) return
      conn.write(Buffer.alloc(size))
      began = Date.now()
      compute(BLOCK_MS)
    },
  })
  const options = { idleTimeoutMs: 600, maxConnections: 3 }
  const { server, port } = serve(running(stage), log.handler, options)
  const started = Date.now()
  const client = stage.keep(
    TestWorker.code(CLIENT, { workerData: { port, quiet: size, crowd: 5 }, execArgv: [] }),
  )
  await log.closed(0)
  await log.closed(1)
  await log.until('the third', () => log.lives.length >= 3)
  await log.closed(2)
  client.worker.postMessage('tell')
  const said = await client.message<Record<string, number>>()
  const ended = began - started + BLOCK_MS
  for (const name of ['first', 'flushed', 'accepted', 'idle closed', 'refused at']) {
    t.true((said[name] as number) < ended, `${name}: ${JSON.stringify(said)}, free after ${ended}`)
  }
  t.true(server.refused >= 5, JSON.stringify(said))
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
