/** The driver `auto` in a worker: its JS thread is relieved as the main one is, and may end in the middle of that. */

import { once } from 'node:events'
import { connect } from 'node:net'

import { descriptors, loopThreads } from './support/census.ts'
import { within } from './support/deadline.ts'
import { onUnix } from './support/platform.ts'
import { TestWorker } from './support/process.ts'

/**
 * A worker that computes in a callback, until a thread turns its loop as there is a client to be accepted. Then it ends as
 * `how` says, in that callback; or its run does, once it has the loop back.
 */
const RELIEVED = `
  const { workerData: how, parentPort } = require('node:worker_threads')
  const { EventLoop, TcpServer } = require('miolo')
  const loop = new EventLoop({ driver: 'auto' })
  const came = []
  const end = () => {
    if (loop.metrics().turner === 'js') loop.shutdown()
    else setTimeout(end, 5)
  }
  const server = new TcpServer(loop, {
    open() {
      came.push('open')
      end()
    },
  })
  const { port } = server.listen('127.0.0.1:0')
  const handler = {
    timeout(loop) {
      came.push('timeout')
      parentPort.postMessage(port)
      while (loop.metrics().turner !== 'thread');
      parentPort.postMessage('relieved')
      if (how === 'exit') process.exit(7)
      if (how === 'throw') throw new Error('on purpose')
      if (how === 'close') loop.close()
      if (how === 'terminate') for (;;);
    },
  }
  loop.timeoutMs(0, 0)
  loop.run(handler).then(
    () => parentPort.postMessage(came.join()),
    (error) => setImmediate(() => { throw error }),
  )
`

for (const how of ['shutdown', 'close', 'exit', 'throw', 'terminate'] as const) {
  onUnix(
    `a worker may end by ${how} when it has been relieved, and leaves nothing behind`,
    async (t) => {
      const threads = loopThreads().length
      const before = descriptors()
      for (let time = 0; time < 5; time++) {
        const worker = TestWorker.code(RELIEVED, { workerData: how, execArgv: [] })
        t.teardown(() => worker.close())
        const client = connect(await worker.message<number>(), '127.0.0.1').on('error', () => {})
        const gone = once(client.resume(), 'close')
        t.is(await worker.message(), 'relieved')
        if (how === 'terminate') await worker.close()
        else if (how === 'throw') await t.throwsAsync(worker.exit(), { message: /on purpose/ })
        else {
          if (how === 'shutdown') t.is(await worker.message(), 'timeout,open')
          if (how === 'close') t.is(await worker.message(), 'timeout')
          t.is(await worker.exit(), how === 'exit' ? 7 : 0)
        }
        await within('the end of the connection', () => gone)
      }
      t.is(loopThreads().length, threads)
      t.true(descriptors() <= before, `${descriptors()} descriptors, and once ${before}`)
    },
  )
}
