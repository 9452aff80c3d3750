import test from 'ava'

import { drivers } from './support/drivers.ts'
import { runCode } from './support/process.ts'

/** Counts loop threads and descriptors, and collects garbage until there are as few as once. */
const PRELUDE = `
  import { existsSync, readdirSync, readFileSync } from 'node:fs'
  import { setImmediate as turn } from 'node:timers/promises'
  import { EventLoop, EventSet, PollOpt, Sender, TcpListener, TcpStream } from 'miolo'
  const [, driver] = process.argv
  function threads() {
    if (!existsSync('/proc/self/task')) return 0
    return readdirSync('/proc/self/task').filter((task) => {
      try {
        return readFileSync('/proc/self/task/' + task + '/comm', 'latin1').startsWith('miolo-')
      } catch {
        return false
      }
    }).length
  }
  const descriptors = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0)
  async function collected(isDone) {
    for (let time = 0; time < 1000 && !isDone(); time++) {
      gc()
      await turn()
    }
    return isDone()
  }
`

function collects(source: string, driver: string) {
  return runCode(PRELUDE + source, { args: [driver], nodeArgs: ['--expose-gc'] })
}

for (const driver of drivers) {
  test.serial(`loops that stand still are collected, with all they hold (${driver})`, async (t) => {
    const source = `
      async function leave() {
        const loop = new EventLoop({ driver })
        const listener = TcpListener.bind('127.0.0.1:0')
        loop.register(listener, 1, EventSet.readable(), PollOpt.level())
        TcpStream.connect(listener.localAddress())
        loop.channel().share()
        loop.timeoutMs('never', 60_000)
        await loop.run({ ready: (loop) => loop.shutdown() })
      }
      await leave()
      await collected(() => threads() === 0)
      const before = descriptors()
      for (let count = 0; count < 50; count++) await leave()
      console.log(await collected(() => threads() === 0 && descriptors() <= before))`
    t.like(await collects(source, driver), { code: 0, signal: null, stdout: 'true\n', stderr: '' })
  })

  test.serial(`a closed loop keeps none of what it was given (${driver})`, async (t) => {
    const source = `
      const kept = []
      let gone = 0
      const registry = new FinalizationRegistry(() => gone++)
      const give = () => {
        const payload = { of: 'a timeout or a message' }
        registry.register(payload)
        return payload
      }
      function leave() {
        const loop = new EventLoop({ driver })
        loop.timeoutMs(give(), 60_000)
        loop.channel().send(give())
        kept.push(loop, loop.channel())
        loop.close()
      }
      for (let count = 0; count < 20; count++) leave()
      console.log(await collected(() => gone === 40), kept.length)`
    t.like(await collects(source, driver), {
      code: 0,
      signal: null,
      stdout: 'true 40\n',
      stderr: '',
    })
  })

  test.serial(`a running loop is not collected (${driver})`, async (t) => {
    const source = `
      function leave() {
        new Promise((resolve) => {
          const loop = new EventLoop({ driver })
          loop.timeoutMs(0, 1)
          loop.run({
            timeout(loop, count) {
              gc()
              if (count < 20) loop.timeoutMs(count + 1, 1)
              else loop.shutdown()
            },
          }).then(resolve)
        }).then(() => console.log('ended'))
      }
      leave()
      for (let time = 0; time < 50; time++) await collected(() => true)`
    const outcome = await collects(source, driver)
    t.like(outcome, { code: 0, signal: null, stdout: 'ended\n', stderr: '' })
  })

  test.serial(`the places of collected Senders can be used again (${driver})`, async (t) => {
    const source = `
      const loop = new EventLoop({ driver })
      const shared = loop.channel().share()
      const attach = () => {
        try { return Sender.from(shared) } catch { return undefined }
      }
      for (let count = 0; count < 64; count++) attach()
      console.log(await collected(() => attach() !== undefined))
      loop.close()`
    t.like(await collects(source, driver), { code: 0, signal: null, stdout: 'true\n', stderr: '' })
  })
}
