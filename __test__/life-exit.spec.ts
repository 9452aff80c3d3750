import test from 'ava'

import { drivers } from './support/drivers.ts'
import { type Outcome, runCode } from './support/process.ts'

const ways = ['run', 'runSync'] as const

/** What every program begins with. Its arguments: the driver, and more. */
const PRELUDE = `
  import { EventLoop, EventSet, PollOpt, TcpListener, TcpStream } from 'miolo'
  const [, driver, ...args] = process.argv
`

/** A loop with something for each of its callbacks, without end. */
const BUSY = `${PRELUDE}
  const loop = new EventLoop({ driver })
  const sender = loop.channel()
  const listener = TcpListener.bind('127.0.0.1:0')
  loop.register(listener, 1, EventSet.readable(), PollOpt.level())
  const client = TcpStream.connect(listener.localAddress())
  const busy = {
    ready() {},
    notify() { sender.send('again') },
    timeout(loop) { loop.timeoutMs('again', 0) },
    interrupted(loop) { loop.interrupt() },
    tick() {},
  }
  sender.send('first')
  loop.timeoutMs('first', 0)
  loop.interrupt()
`

function program(source: string, driver: string, ...args: string[]): Promise<Outcome> {
  return runCode(source, { args: [driver, ...args] })
}

const quiet = { signal: null, stderr: '' }

for (const driver of drivers) {
  for (const way of ways) {
    test.serial(
      `process.exit() in each callback ends the process at once (${driver}, ${way})`,
      async (t) => {
        const source = `${BUSY}
        const [way, callback] = args
        const handler = { ...busy, [callback]: () => process.exit(42) }
        await loop[way](handler)
        console.log('not reached')`
        for (const callback of ['ready', 'notify', 'timeout', 'interrupted', 'tick']) {
          const outcome = await program(source, driver, way, callback)
          t.like(outcome, { ...quiet, code: 42, stdout: '' }, callback)
        }
      },
    )
  }

  test.serial(`an unref'd loop with traffic ends with the process (${driver})`, async (t) => {
    const source = `${BUSY}
      loop.unref().run(busy)
      setTimeout(() => console.log('the last timer'), 100)`
    t.like(await program(source, driver), { ...quiet, code: 0, stdout: 'the last timer\n' })
  })

  test.serial(`an uncaught exception of Node's ends the process (${driver})`, async (t) => {
    const source = `${BUSY}
      loop.run(busy)
      setTimeout(() => { throw new Error('uncaught on purpose') }, 50)`
    const outcome = await program(source, driver)
    t.like(outcome, { code: 1, signal: null })
    t.regex(outcome.stderr, /uncaught on purpose/)
  })

  test.serial(
    `an uncaught exception that is handled leaves the loop running (${driver})`,
    async (t) => {
      const source = `${PRELUDE}
      const loop = new EventLoop({ driver })
      process.on('uncaughtException', (error) => {
        console.log(error.message)
        loop.channel().send('still there')
      })
      setTimeout(() => { throw new Error('on purpose') }, 20)
      await loop.run({ notify(loop, message) { console.log(message); loop.shutdown() } })`
      const stdout = 'on purpose\nstill there\n'
      t.like(await program(source, driver), { ...quiet, code: 0, stdout })
    },
  )

  test.serial(`what a callback throws is an unhandled rejection of run (${driver})`, async (t) => {
    const source = `${BUSY}
      loop.run({ ...busy, timeout() { throw new Error('thrown on purpose') } })`
    const outcome = await program(source, driver)
    t.like(outcome, { code: 1, signal: null })
    t.regex(outcome.stderr, /thrown on purpose/)
  })

  test.serial(`listeners of 'exit' may use loops, and exit (${driver})`, async (t) => {
    const source = `${BUSY}
      const other = new EventLoop({ driver })
      const attempt = (what, act) => {
        try { act() } catch (error) { if (!error.code?.startsWith('ERR_MIOLO_')) console.log(what, error) }
      }
      const useAll = () => {
        attempt('send', () => sender.send('late'))
        attempt('timeout', () => loop.timeoutMs('late', 0))
        attempt('register', () => loop.register(client, 2, EventSet.all(), PollOpt.level()))
        attempt('run', () => loop.run(busy))
        attempt('sync', () => {
          const last = new EventLoop({ driver })
          last.timeoutMs('late', 1)
          last.runSync({ timeout(loop) { loop.shutdown() } })
        })
        const fresh = new EventLoop({ driver })
        fresh.channel().send('late')
        fresh.timeoutMs('late', 0)
        fresh.run({})
      }
      process.on('exit', useAll)
      loop.run(busy)
      other.run({})
      process.on('exit', () => { useAll(); console.log('exit'); if (args[0]) process.exit(Number(args[0])) })
      setTimeout(() => process.exit(3), 50)`
    t.like(await program(source, driver), { ...quiet, code: 3, stdout: 'exit\n' })
    t.like(await program(source, driver, '4'), { ...quiet, code: 4, stdout: 'exit\n' })
  })

  test.serial(`a process with many running loops ends at once (${driver})`, async (t) => {
    const source = `${PRELUDE}
      for (let count = 0; count < 50; count++) {
        const loop = new EventLoop({ driver })
        loop.timeoutMs(0, 0)
        loop.run({ timeout: (loop) => void loop.timeoutMs(0, 0) })
      }
      setTimeout(() => process.exit(5), 100)`
    t.like(await program(source, driver), { ...quiet, code: 5 })
  })
}
