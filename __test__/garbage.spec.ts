/**
 * Garbage in the shared memory: the loop fails, saying so, or goes on; it never crashes, hangs, or harms another.
 * What is overwritten, and how, stands in fixtures/garbage.ts.
 */

import { setTimeout as sleep } from 'node:timers/promises'

import type { ExecutionContext } from 'ava'

import * as at from '../ts/bridge/layout.ts'
import { within } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { type Outcome, runCode, runFixture } from './support/process.ts'
import { dial, journal, serve } from './support/servers.ts'

function isUnharmed(t: ExecutionContext, { code, signal, stdout, stderr }: Outcome) {
  t.like({ code, signal }, { code: 0, signal: null }, stderr.slice(-3000))
  t.regex(stdout, /unharmed\n$/)
}

eachDriver('each word that matters, overwritten with what might matter', async (t, { driver }) => {
  const outcome = await runFixture('garbage.ts', { args: [driver, 'case'] })
  isUnharmed(t, outcome)
  const failed = Number(/failed (\d+)/.exec(outcome.stdout)?.[1])
  t.true(failed > 10, `${failed} were noticed`)
})

eachDriver('any words, at any moment', async (t, { driver }) => {
  isUnharmed(t, await runFixture('garbage.ts', { args: [driver, 'random', '80'] }))
})

eachDriver('a thread that overwrites all the time', async (t, { driver }) => {
  isUnharmed(t, await runFixture('garbage.ts', { args: [driver, 'vandal', '1000'] }))
})

eachDriver(
  'a word that is neither of its two values, and nobody to set it',
  async (t, { driver }) => {
    const source = `
    import { EventLoop } from 'miolo'
    const loop = new EventLoop({ driver: '${driver}' })
    const { memory } = loop.channel().share()
    setTimeout(() => {
      Atomics.store(memory, ${at.MAIL}, 8)
      loop.timeoutMs('t', 5)
    }, 20)
    await loop.run({ timeout: (loop) => void setTimeout(() => loop.shutdown(), 20) })
    console.log('unharmed')`
    isUnharmed(t, await runCode(source, { deadlineMs: 10_000 }))
  },
)

eachDriver('events that were never written, and nothing to write behind them', async (t, stage) => {
  const source = `
    import { EventLoop } from 'miolo'
    const loop = new EventLoop({ driver: '${stage.driver}' })
    const { memory } = loop.channel().share()
    setTimeout(() => {
      memory.fill(${at.EVENT_INTERRUPTED}, ${at.CONTROL_WORDS}, ${at.CONTROL_WORDS + 3 * at.RECORD_WORDS})
      Atomics.store(memory, ${at.EVENT_TAIL}, 3)
      loop.timeoutMs('t', 5)
    }, 20)
    await loop.run({}).catch((error) => console.log(error.code))`
  t.is((await runCode(source, { deadlineMs: 10_000 })).stdout, 'ERR_MIOLO_FAILED\n')
})

eachDriver('a count of messages that only looks full', async (t, { driver }) => {
  const source = `
    import { EventLoop, Sender } from 'miolo'
    const loop = new EventLoop({ driver: '${driver}' })
    const shared = loop.channel().share()
    const sender = Sender.from(shared)
    Atomics.store(shared.memory, ${at.LEFT}, -(2 ** 20))
    for (const message of [1, 'x'.repeat(2 ** 22)]) {
      try {
        sender.send(message)
        console.log('sent')
      } catch (error) {
        console.log(error.code)
      }
    }
    loop.close()`
  t.is((await runCode(source, { deadlineMs: 10_000 })).stdout, 'sent\nERR_MIOLO_NOTIFY_FULL\n')
})

eachDriver('garbage that is noticed while the loop spins', async (t, { open }) => {
  const loop = open<string>({ spinUs: 20_000 })
  const { memory } = loop.channel().share() as unknown as { memory: Int32Array }
  const overwrite = () => void Atomics.store(memory, at.COMMAND_TAIL, -1)
  loop.timeoutMs('overwrite', 0)
  const running = loop.run({ timeout: overwrite })
  // On a busy machine it may not be noticed at once, and nobody looks again.
  const again = setInterval(() => {
    overwrite()
    loop.interrupt()
  }, 100)
  await t.throwsAsync(running, { code: 'ERR_MIOLO_FAILED' })
  clearInterval(again)
})

eachDriver('garbage that a thread notices while JavaScript sleeps', async (t, stage) => {
  if (stage.driver === 'embedded') {
    t.pass('there is no thread')
    return
  }
  const loop = stage.open()
  const { memory } = loop.channel().share() as unknown as { memory: Int32Array }
  const running = loop.run({})
  const log = journal()
  const { port } = serve(loop, log.handler)
  dial(stage, port)
  const { conn } = await log.opened()
  let failed = false
  const failure = running.catch((error: unknown) => {
    failed = true
    throw error
  })
  // A thread looks for a while for what is written and not published; on a busy machine that may be over too soon.
  await within('a look', async () => {
    while (Atomics.load(memory, at.FAULT) === 0 && !failed) {
      conn.write('x')
      for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
      memory[at.COMMAND_WRITTEN] = 1 << 20
      await Promise.race([failure.catch(() => {}), sleep(50)])
    }
  })
  await t.throwsAsync(
    within('the failure', () => failure, 10_000),
    { code: 'ERR_MIOLO_FAILED' },
  )
})
