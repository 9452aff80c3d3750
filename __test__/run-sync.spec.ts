/** runSync: the thread belongs to the loop. */

import { LoopError } from 'miolo'

import { eachDriver } from './support/drivers.ts'
import { rejectsCode, throwsCode } from './support/errors.ts'
import { runCode, TestWorker } from './support/process.ts'

eachDriver('runSync gives Node no turn', async (t, { open }) => {
  const loop = open<string>()
  const turns: string[] = []
  const timer = setTimeout(() => turns.push('timer'), 0)
  setImmediate(() => turns.push('immediate'))
  void Promise.resolve().then(() => turns.push('promise'))
  loop.timeoutMs('t', 20)
  loop.runSync({ timeout: (loop) => loop.shutdown() })
  t.deepEqual(turns, [])
  clearTimeout(timer)
  await new Promise((resolve) => setImmediate(resolve))
  t.deepEqual(turns, ['promise', 'immediate'])
})

eachDriver(
  'a callback that returns a promise to runSync ends it with an error',
  async (t, { open }) => {
    const loop = open<string>()
    loop.timeoutMs('t', 0)
    const failing = () => loop.runSync({ async timeout() {} })
    throwsCode(t, failing, 'ERR_MIOLO_ASYNC_IN_RUN_SYNC', LoopError)
    loop.timeoutMs('t', 0)
    loop.runSync({ timeout: (loop) => loop.shutdown() })
  },
)

eachDriver("if that promise fails, that is nobody's concern", async (t, { driver }) => {
  const source = `
    import { EventLoop } from 'miolo'
    const loop = new EventLoop({ driver: '${driver}' })
    loop.timeoutMs('t', 0)
    try {
      loop.runSync({ async timeout() { throw new Error('on purpose') } })
    } catch (error) {
      console.log(error.code)
    }
    await new Promise((resolve) => setImmediate(resolve))
    console.log('goes on')`
  const stdout = 'ERR_MIOLO_ASYNC_IN_RUN_SYNC\ngoes on\n'
  t.like(await runCode(source), { code: 0, stdout, stderr: '' })
})

eachDriver('a signal that Node handles interrupts the poll', async (t, { driver }) => {
  if (process.platform === 'win32') {
    t.pass('there are no such signals')
    return
  }
  // Another process sends it: this thread sleeps.
  const source = `
    import { spawn } from 'node:child_process'
    import { EventLoop } from 'miolo'
    process.on('SIGUSR2', () => {})
    const loop = new EventLoop({ driver: '${driver}' })
    spawn('sh', ['-c', 'while kill -USR2 ' + process.pid + '; do sleep 0.05; done'], { stdio: 'ignore' }).unref()
    loop.runSync({ interrupted: (loop) => loop.shutdown() })
    console.log('interrupted')
    process.exit()`
  t.like(await runCode(source), { code: 0, stdout: 'interrupted\n', stderr: '' })
})

eachDriver('run and runSync may take turns', async (t, { open }) => {
  const loop = open<number>()
  const seen: number[] = []
  const untilTimeout = {
    timeout(loop: { shutdown(): void }, timeout: number) {
      seen.push(timeout)
      loop.shutdown()
    },
  }
  for (let round = 0; round < 30; round += 3) {
    loop.timeoutMs(round, 0)
    await loop.run(untilTimeout)
    loop.timeoutMs(round + 1, 0)
    loop.runSync(untilTimeout)
    loop.timeoutMs(round + 2, 0)
    // A shutdown in it would be for the next run.
    await loop.runOnce({ timeout: (_, timeout) => void seen.push(timeout) })
  }
  t.deepEqual(
    seen,
    Array.from({ length: 30 }, (_, index) => index),
  )
})

eachDriver(
  'runSync is refused while run is in progress, and the other way round',
  async (t, { open }) => {
    const loop = open<string>()
    const run = loop.run({})
    throwsCode(t, () => loop.runSync({}), 'ERR_MIOLO_RUNNING', LoopError)
    loop.shutdown()
    await run
    loop.timeoutMs('t', 0)
    let refused: Promise<unknown> | undefined
    loop.runSync({
      timeout(loop) {
        refused = rejectsCode(t, (async () => loop.run({}))(), 'ERR_MIOLO_RUNNING', LoopError)
        loop.shutdown()
      },
    })
    await refused
  },
)

eachDriver('a worker that sleeps in runSync is terminated', async (t, { driver, keep }) => {
  const worker = keep(
    TestWorker.code(`
      const { EventLoop } = require('miolo')
      const { parentPort } = require('node:worker_threads')
      const loop = new EventLoop({ driver: '${driver}' })
      loop.channel().send('x')
      loop.runSync({ notify: () => parentPort.postMessage('runs') })`),
  )
  t.is(await worker.message(), 'runs')
  await worker.close()
})

eachDriver(
  'runSync in a worker hears a Sender of the main thread',
  async (t, { driver, open, keep }) => {
    const back = open<unknown, number>()
    const worker = keep(
      TestWorker.code(
        `const { EventLoop, Sender } = require('miolo')
      const { parentPort, workerData } = require('node:worker_threads')
      const back = Sender.from(workerData)
      const loop = new EventLoop({ driver: '${driver}' })
      parentPort.postMessage(loop.channel().share())
      loop.runSync({ notify(loop, message) {
        back.send(message * 2)
        if (message === 0) loop.shutdown()
      } })`,
        { workerData: back.channel().share() },
      ),
    )
    const { Sender } = await import('miolo')
    const sender = Sender.from<number>(await worker.message())
    const answers: number[] = []
    sender.send(1)
    await back.run({
      notify(back, message) {
        answers.push(message)
        if (message === 0) back.shutdown()
        else sender.send(answers.length < 100 ? message + 1 : 0)
      },
    })
    t.is(answers.length, 101)
    t.deepEqual(answers.slice(0, 3), [2, 6, 14])
    t.is(await worker.exit(), 0)
  },
)
