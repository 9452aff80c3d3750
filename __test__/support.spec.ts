import test from 'ava'

import { collect } from './support/collect.ts'
import { within } from './support/deadline.ts'
import { eachWay } from './support/drivers.ts'
import { runCode, TestWorker } from './support/process.ts'

eachWay('a loop runs, and is closed by the stage', async (t, { open, run }) => {
  const { handler, names } = collect<string>({ timeout: (loop) => loop.shutdown() })
  const loop = open<string>()
  loop.timeoutMs('x', 0)
  await run(loop, handler)
  t.deepEqual(names(), ['timeout', 'tick'])
})

test('what does not end in time is an error that tells what it was', async (t) => {
  const never = () => new Promise<void>(() => {})
  await t.throwsAsync(within('a wait', never, 1), { message: 'a wait: not done after 1 ms' })
})

test('a process that hangs is killed', async (t) => {
  const source = 'setInterval(() => {}, 1000)'
  await t.throwsAsync(runCode(source, { deadlineMs: 500 }), { message: /the process: not done/ })
})

test('a program can import the package', async (t) => {
  const source = `import { EventLoop } from 'miolo'; console.log(typeof EventLoop)`
  t.like(await runCode(source), { code: 0, stdout: 'function\n', stderr: '' })
})

test('a worker tells its messages and its error', async (t) => {
  const source = `require('node:worker_threads').parentPort.postMessage(require('miolo').EventLoop.name)
    throw new Error('on purpose')`
  const worker = TestWorker.code(source)
  t.is(await worker.message(), 'EventLoop')
  await t.throwsAsync(worker.exit(), { message: 'the worker has thrown: on purpose' })
})
