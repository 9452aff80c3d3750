import { EventEmitter, once } from 'node:events'

import test, { type ExecutionContext } from 'ava'
import { EventLoop, Sender, type SharedSender } from 'miolo'

import { descriptors, loopThreads } from './support/census.ts'
import { within } from './support/deadline.ts'
import { drivers } from './support/drivers.ts'
import { runCode, TestWorker } from './support/process.ts'

/**
 * A worker whose loop has traffic of every kind: an echo over TCP with itself, timeouts, messages to itself, to the
 * main thread and from it. With `end`, it ends itself so after a hundred callbacks.
 */
const TRAFFIC = `
  const { workerData, parentPort } = require('node:worker_threads')
  const { driver, way, shared, end } = workerData
  const { EventLoop, EventSet, PollOpt, Sender, TcpListener, TcpStream } = require('miolo')
  const loop = new EventLoop({ driver, notifyCapacity: 1000 })
  const local = loop.channel()
  const back = Sender.from(shared)
  const listener = TcpListener.bind('127.0.0.1:0')
  const client = TcpStream.connect(listener.localAddress())
  const any = EventSet.readable().union(EventSet.writable())
  loop.register(listener, 0, EventSet.readable(), PollOpt.level())
  loop.register(client, 1, any, PollOpt.edge())
  const into = Buffer.alloc(4096)
  let server
  let callbacks = 0
  function called() {
    if (++callbacks !== 100) return
    if (end === 'close') loop.close()
    if (end === 'shutdown') loop.shutdown()
    if (end === 'exit') process.exit(7)
    if (end === 'throw') throw new Error('on purpose')
  }
  function attempt(send) {
    try { send() } catch (error) { if (error.name !== 'NotifyError') throw error }
  }
  const handler = {
    ready(loop, token) {
      if (token === 0) {
        server = listener.accept()?.stream ?? server
        loop.register(server, 2, any, PollOpt.level())
      }
      const stream = token === 1 ? client : server
      stream.read(into)
      stream.write(into.subarray(0, 100))
      called()
    },
    notify(loop, message) {
      attempt(() => local.send(message))
      attempt(() => back.send(message))
      called()
    },
    timeout(loop, delay) {
      loop.timeoutMs(delay, delay)
      called()
    },
    tick: () => called(),
  }
  for (const delay of [0, 0, 1, 5]) loop.timeoutMs(delay, delay)
  local.send('first')
  parentPort.postMessage(local.share())
  if (way === 'runSync') loop.runSync(handler)
  else {
    setInterval(() => {}, 1000).unref()
    loop.run(handler).catch((error) => setImmediate(() => { throw error }))
  }
`

const ways = ['run', 'runSync']

/** The main thread's loop, which gets messages from workers. It has no thread, so that those of workers can be counted. */
function receiver(t: ExecutionContext): {
  shared: SharedSender
  messages(count: number): Promise<void>
} {
  const loop = new EventLoop({ driver: 'embedded' })
  t.teardown(() => loop.close())
  const came = new EventEmitter().setMaxListeners(100)
  const running = loop.run({ notify: () => void came.emit('message') })
  return {
    shared: loop.channel().share(),
    async messages(count) {
      for (; count > 0; count--) {
        await within('a message', () => Promise.race([running, once(came, 'message')]))
      }
    },
  }
}

/** Sends to a worker's loop for as long as it is there, which may be over by now. */
function pester(shared: SharedSender): NodeJS.Timeout {
  let sender: Sender<string> | undefined
  return setInterval(() => {
    try {
      sender ??= Sender.from<string>(shared)
      for (let count = 0; count < 10; count++) sender.send('x'.repeat(count * 100))
    } catch {
      // Full, or closed.
    }
  }).unref()
}

for (const driver of drivers) {
  for (const way of ways) {
    test.serial(
      `terminate() in mid-traffic leaves nothing behind (${driver}, ${way})`,
      async (t) => {
        const { shared, messages } = receiver(t)
        const before = descriptors()
        const threads = loopThreads().length
        for (let time = 0; time < 5; time++) {
          const workerData = { driver, way, shared }
          const worker = TestWorker.code(TRAFFIC, { workerData, execArgv: [] })
          const timer = pester(await worker.message())
          await messages(20)
          await worker.close()
          clearInterval(timer)
        }
        t.is(loopThreads().length, threads)
        t.true(descriptors() <= before, `${descriptors()} descriptors, and once ${before}`)
      },
    )

    for (const [how, code] of [
      ['close', 0],
      ['shutdown', 0],
      ['exit', 7],
      ['throw', 1],
    ] as const) {
      test.serial(`a worker may end by ${how} in a callback (${driver}, ${way})`, async (t) => {
        const { shared } = receiver(t)
        const before = descriptors()
        const threads = loopThreads().length
        const workerData = { driver, way, shared, end: how }
        const worker = TestWorker.code(TRAFFIC, { workerData, execArgv: [] })
        const timer = pester(await worker.message())
        if (how === 'throw') await t.throwsAsync(worker.exit(), { message: /on purpose/ })
        else t.is(await worker.exit(), code)
        clearInterval(timer)
        t.is(loopThreads().length, threads)
        t.true(descriptors() <= before, `${descriptors()} descriptors, and once ${before}`)
      })
    }
  }

  test.serial(`fifty workers come and go under load (${driver})`, async (t) => {
    const { shared, messages } = receiver(t)
    const threads = loopThreads().length
    const before = descriptors()
    let started = 0
    const one = async () => {
      while (started < 50) {
        const workerData = { driver, way: ways[started++ % 2], shared }
        const worker = TestWorker.code(TRAFFIC, { workerData, execArgv: [] })
        const timer = pester(await worker.message())
        await messages(5)
        await worker.close()
        clearInterval(timer)
      }
    }
    await Promise.all([one(), one(), one(), one()])
    t.is(loopThreads().length, threads)
    t.true(descriptors() <= before, `${descriptors()} descriptors, and once ${before}`)
  })

  test.serial(`a process that exits ends the loops of its workers (${driver})`, async (t) => {
    const source = `
      import { Worker } from 'node:worker_threads'
      import { EventLoop } from 'miolo'
      const loop = new EventLoop()
      const shared = loop.channel().share()
      loop.run({})
      const [, traffic, driver] = process.argv
      let ready = 0
      for (const way of ['run', 'runSync', 'run', 'runSync']) {
        const worker = new Worker(traffic, { eval: true, execArgv: [], workerData: { driver, way, shared } })
        worker.on('message', () => {
          if (++ready === 4) setTimeout(() => process.exit(9), 20)
        })
      }`
    const outcome = await runCode(source, { args: [TRAFFIC, driver] })
    t.like(outcome, { code: 9, signal: null, stderr: '' })
  })
}
