/** The driver `auto`: what comes when the loop has just been given back to a JS thread that computes again. */

import { type Connection, EventLoop, TcpServer } from 'miolo'

import { calm } from './support/calm.ts'
import { compute } from './support/compute.ts'
import { within } from './support/deadline.ts'
import { onUnix } from './support/platform.ts'
import { TestWorker } from './support/process.ts'

/** How often the loop is to be given back while JavaScript computes. */
const TIMES = 4
const TRIES = 200

const DONE = 0

/** Makes JavaScript busy, has more for it meanwhile, and sends a message long after it has computed. */
const PEER = `
  const { parentPort, workerData } = require('node:worker_threads')
  const net = require('node:net')
  const { index, port, share, states } = workerData
  const dial = () => net.connect({ port, host: '127.0.0.1', noDelay: true }).resume()
  const silent = dial()
  silent.on('connect', async () => {
    const { Sender } = await import(index)
    const sender = Sender.from(share)
    const busy = dial()
    parentPort.on('message', () => {
      busy.write('first')
      setTimeout(() => {
        busy.write('second')
        Atomics.wait(states, ${DONE}, 0)
        Atomics.store(states, ${DONE}, 0)
        Atomics.wait(states, ${DONE}, 0, 50)
        sender.send('long after')
      }, 5)
    })
    busy.on('connect', () => parentPort.postMessage('connected'))
  })
`

onUnix('a message wakes a loop that was given back while JavaScript computed', async (t) => {
  const states = new Int32Array(new SharedArrayBuffer(4))
  const loop = new EventLoop<never, string>({ driver: 'auto' })
  t.teardown(() => loop.close())
  const turner = () => loop.metrics().turner
  let silent: Connection | undefined
  let wasGivenBack = false
  let notified: (message: string) => void = () => {}
  /** Not in a callback of the loop's. A thread has to send what it writes. */
  const computeOutside = () => {
    const before = turner()
    compute(45, () => silent?.write('x'))
    wasGivenBack = before === 'thread' && turner() === 'js'
    compute(12)
    Atomics.store(states, DONE, 1)
    Atomics.notify(states, DONE)
  }
  const server = new TcpServer(loop, {
    open(conn) {
      silent ??= conn
    },
    data(_, chunk) {
      // On a busy machine together with what comes after it, or what came before.
      if (!String(chunk).includes('first')) return
      compute(20)
      setTimeout(computeOutside, 1)
    },
  })
  const { port } = server.listen('127.0.0.1:0')
  const run = loop.run({ notify: (_, message) => notified(message) })
  const workerData = {
    index: import.meta.resolve('miolo'),
    port,
    share: loop.channel().share(),
    states,
  }
  const peer = TestWorker.code(PEER, { workerData, execArgv: [] })
  t.teardown(() => peer.close())
  await peer.message()

  let times = 0
  for (let tried = 0; times < TIMES && tried < TRIES; tried++) {
    await within('calm', () => calm(loop))
    const message = new Promise<string>((resolve) => {
      notified = resolve
    })
    peer.worker.postMessage('again')
    t.is(await within('the message', () => message, 10_000), 'long after')
    if (wasGivenBack) times++
  }
  t.is(times, TIMES)
  loop.shutdown()
  await run
})

onUnix(
  'what JavaScript writes while it computes does not keep Node’s own events out afterwards',
  async (t) => {
    const count = 1000
    const loop = new EventLoop<never, number>({ driver: 'auto' })
    t.teardown(() => loop.close())
    const cell = new Int32Array(new SharedArrayBuffer(4))
    let received = 0
    const run = loop.run({
      notify() {
        // Not busy: nothing of Node's or V8's is to come in between.
        Atomics.wait(cell, 0, 0, 1)
        if (++received === count) loop.shutdown()
      },
    })
    const opened = new Promise<Connection>((resolve) => {
      const { port } = new TcpServer(loop, { open: resolve }).listen('127.0.0.1:0')
      const peer = TestWorker.code(
        `require('node:net').connect(${port}, '127.0.0.1').on('error', () => {}).resume()`,
        { execArgv: [] },
      )
      t.teardown(() => peer.close())
    })
    const conn = await within('a connection', () => opened)
    // Not in a callback of the loop's.
    await new Promise((resolve) => setTimeout(resolve, 5))
    const sender = loop.channel()
    for (let each = 0; each < count; each++) sender.send(each)
    compute(600, () => conn.write('x'))
    let ticks = 0
    const ticking = setInterval(() => ticks++, 1)
    await within('all messages', () => run)
    clearInterval(ticking)
    // Each turn of the loop's lasts some milliseconds, and all of Node's timers come between two of them.
    t.true(ticks > count / 50, `${ticks} ticks`)
  },
)
