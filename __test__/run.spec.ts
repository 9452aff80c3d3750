/** Running a loop: run, run again, shut down, throw. */

import { setImmediate as immediate } from 'node:timers/promises'

import { type EventLoop, LoopError } from 'miolo'

import { collect } from './support/collect.ts'
import { deferred } from './support/deadline.ts'
import { eachDriver, eachWay } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { runCode } from './support/process.ts'

eachWay(
  'a loop is running from its creation until shutdown, and again once it runs',
  async (t, stage) => {
    const loop = stage.open<string>()
    t.true(loop.isRunning())
    loop.shutdown()
    t.false(loop.isRunning())
    await stage.run(loop, {})
    loop.timeoutMs('x', 0)
    await stage.run(loop, {
      timeout(loop) {
        t.true(loop.isRunning())
        loop.shutdown()
        t.false(loop.isRunning())
      },
    })
    t.false(loop.isRunning())
    loop.close()
    t.false(loop.isRunning())
  },
)

eachWay(
  'a shutdown before run makes the next run return at once, and only that',
  async (t, stage) => {
    const loop = stage.open<string, string>()
    const { handler, calls } = collect<string, string>({ notify: (loop) => loop.shutdown() })
    loop.channel().send('waits')
    loop.timeoutMs('later', 1_000_000)
    loop.shutdown()
    loop.shutdown()
    await stage.run(loop, handler)
    t.deepEqual(calls, [])
    t.is(loop.metrics().iterations, 0, 'without a poll')
    await stage.run(loop, handler)
    t.deepEqual(calls, [['notify', 'waits'], ['tick']])
  },
)

eachWay('shutdown lets the rest of the batch and its tick finish', async (t, { open, run }) => {
  const loop = open<string, number>()
  const { handler, calls } = collect<string, number>({ notify: (loop) => loop.shutdown() })
  for (const message of [1, 2, 3]) loop.channel().send(message)
  await run(loop, handler)
  t.deepEqual(calls, [['notify', 1], ['notify', 2], ['notify', 3], ['tick']])
})

eachWay('shutdown in tick ends the run with that batch', async (t, { open, run }) => {
  const loop = open<string, number>({ messagesPerTick: 1 })
  const { handler, calls } = collect<string, number>({ tick: (loop) => loop.shutdown() })
  for (const message of [1, 2]) loop.channel().send(message)
  await run(loop, handler)
  t.deepEqual(calls, [['notify', 1], ['tick']])
  await run(loop, handler)
  t.deepEqual(calls.slice(2), [['notify', 2], ['tick']])
})

eachWay('shutdown in every callback of a batch loses nothing over many runs', async (t, stage) => {
  const loop = stage.open<number, number>({ messagesPerTick: 3 })
  const count = 100
  for (let each = 0; each < count; each++) {
    loop.channel().send(each)
    loop.timeoutMs(each, each % 5)
  }
  const messages: number[] = []
  const timeouts = new Set<number>()
  let runs = 0
  while (messages.length < count || timeouts.size < count) {
    runs++
    await stage.run(loop, {
      notify(loop, message) {
        messages.push(message)
        loop.shutdown()
      },
      timeout(loop, timeout) {
        t.false(timeouts.has(timeout))
        timeouts.add(timeout)
        loop.shutdown()
      },
    })
  }
  t.deepEqual(
    messages,
    Array.from({ length: count }, (_, index) => index),
  )
  t.true(runs > 1)
})

eachDriver('a shutdown from outside ends the run', async (t, { open }) => {
  const loop = open()
  const done = loop.run({})
  await immediate()
  loop.shutdown()
  await done
  t.false(loop.isRunning())
})

eachDriver('a shutdown right behind run ends it', async (t, { open }) => {
  const loop = open()
  const done = loop.run({})
  loop.shutdown()
  await done
  t.false(loop.isRunning())
})

eachDriver(
  'a shutdown in a promise that a callback left behind ends the run',
  async (t, { open }) => {
    const loop = open<unknown, string>()
    loop.channel().send('x')
    await loop.run({
      notify(loop) {
        void Promise.resolve().then(() => loop.shutdown())
      },
    })
    t.false(loop.isRunning())
  },
)

eachWay('timeouts and messages stay over runs', async (t, { open, run }) => {
  const loop = open<string, string>({ messagesPerTick: 1 })
  loop.timeoutMs('timeout', 30)
  loop.channel().send('first')
  loop.channel().send('second')
  const { handler, calls } = collect<string, string>({
    notify: (loop) => loop.shutdown(),
    timeout: (loop) => loop.shutdown(),
  })
  for (let runs = 0; calls.filter(([name]) => name !== 'tick').length < 3; runs++) {
    t.true(runs < 3)
    await run(loop, handler)
  }
  t.deepEqual(
    calls.filter(([name]) => name === 'notify').map(([, message]) => message),
    ['first', 'second'],
  )
})

eachWay('a loop can be run a thousand times', async (t, { open, run }) => {
  const loop = open<number>()
  let called = 0
  for (let runs = 0; runs < 1000; runs++) {
    loop.timeoutMs(runs, 0)
    await run(loop, {
      timeout(loop, timeout) {
        t.is(timeout, runs)
        called++
        loop.shutdown()
      },
    })
  }
  t.is(called, 1000)
})

eachWay(
  'the handler is `this` in its callbacks, which may be inherited',
  async (t, { open, run }) => {
    class Base {
      seen: string[] = []
      notify(loop: EventLoop<string, string>, message: string) {
        this.seen.push(message)
        loop.timeoutMs('t', 0)
      }
    }
    class Mine extends Base {
      timeout(loop: EventLoop<string, string>, timeout: string) {
        this.seen.push(timeout)
        loop.shutdown()
      }
    }
    const loop = open<string, string>()
    loop.channel().send('m')
    const mine = new Mine()
    await run(loop, mine)
    t.deepEqual(mine.seen, ['m', 't'])
  },
)

eachWay('callbacks get the loop they belong to', async (t, { open, run }) => {
  const loop = open<string, string>()
  loop.channel().send('m')
  loop.timeoutMs('t', 0)
  loop.interrupt()
  const loops: unknown[] = []
  await run(loop, {
    interrupted: (each: unknown) => loops.push(each),
    notify: (each: unknown) => loops.push(each),
    timeout: (each: EventLoop) => {
      loops.push(each)
      each.shutdown()
    },
    tick: (each: unknown) => loops.push(each),
  } as never)
  t.true(loops.length >= 3)
  for (const each of loops) t.is(each, loop)
})

eachWay('a loop without a callback for what comes goes on', async (t, { open, run }) => {
  const loop = open<string, string>()
  loop.channel().send('nobody hears')
  loop.timeoutMs('nobody waits', 0)
  let ticks = 0
  await run(loop, {
    tick(loop) {
      ticks++
      if (loop.metrics().events.notify === 1 && loop.metrics().events.timeout === 1) loop.shutdown()
    },
  })
  t.true(ticks > 0)
})

// Errors

eachWay('what a callback throws ends the run, and the rest comes in the next', async (t, stage) => {
  const loop = stage.open<string, number>()
  for (const message of [1, 2, 3]) loop.channel().send(message)
  const error = new Error('on purpose')
  const { handler, calls } = collect<string, number>({
    notify(loop, message) {
      if (message === 1) throw error
      if (message === 3) loop.shutdown()
    },
  })
  const thrown = await t.throwsAsync(async () => stage.run(loop, handler))
  t.is(thrown, error)
  t.deepEqual(calls, [['notify', 1]], 'no further callback of the batch')
  await stage.run(loop, handler)
  t.deepEqual(calls.slice(1), [['notify', 2], ['notify', 3], ['tick']])
})

for (const where of ['interrupted', 'notify', 'timeout', 'tick'] as const) {
  eachWay(`anything thrown by ${where} is what run rejects with`, async (t, { open, run }) => {
    for (const thrown of [new Error('x'), 'text', undefined, null, 0, Symbol('s'), { code: 1 }]) {
      const loop = open<string, string>()
      loop.channel().send('m')
      loop.timeoutMs('t', 0)
      loop.interrupt()
      let wasThrown = false
      try {
        await run(loop, {
          [where]() {
            // oxlint-disable-next-line no-throw-literal
            throw thrown
          },
        })
      } catch (error) {
        wasThrown = true
        t.is(error, thrown)
      }
      t.true(wasThrown)
      loop.close()
    }
  })
}

eachWay(
  'a loop whose callback has thrown can be run, used and closed',
  async (t, { open, run }) => {
    const loop = open<string>()
    for (let round = 0; round < 50; round++) {
      loop.timeoutMs('t', 0)
      const failing = async () =>
        run(loop, {
          timeout() {
            throw new RangeError(`${round}`)
          },
        })
      await t.throwsAsync(failing, { instanceOf: RangeError, message: `${round}` })
    }
    const { handler, names } = collect<string>({ timeout: (loop) => loop.shutdown() })
    loop.timeoutMs('t', 0)
    await run(loop, handler)
    t.true(names().includes('timeout'))
  },
)

eachWay(
  'a callback that shuts down and throws: run rejects, and the next runs',
  async (t, { open, run }) => {
    const loop = open<string>()
    loop.timeoutMs('t', 0)
    const failing = async () =>
      run(loop, {
        timeout(loop) {
          loop.shutdown()
          throw new Error('on purpose')
        },
      })
    await t.throwsAsync(failing, { message: 'on purpose' })
    t.false(loop.isRunning())

    loop.timeoutMs('next', 0)
    const told: string[] = []
    await run(loop, {
      timeout(loop, word) {
        told.push(word)
        loop.shutdown()
      },
    })
    t.deepEqual(told, ['next'])
  },
)

eachWay('a callback that closes the loop and throws: run rejects', async (t, { open, run }) => {
  const loop = open<string>()
  loop.timeoutMs('t', 0)
  const failing = async () =>
    run(loop, {
      timeout(loop) {
        loop.close()
        throw new Error('on purpose')
      },
    })
  await t.throwsAsync(failing, { message: 'on purpose' })
})

// Promises that callbacks return

eachDriver('run rejects with what a returned promise rejects with', async (t, { open }) => {
  const loop = open<string>()
  loop.timeoutMs('t', 0)
  const error = new Error('on purpose')
  const run = loop.run({
    async timeout() {
      await immediate()
      throw error
    },
  })
  t.is(await t.throwsAsync(run), error)
  loop.timeoutMs('t', 0)
  await loop.run({ timeout: (loop) => loop.shutdown() })
})

eachDriver('a returned promise that resolves changes nothing', async (t, { open }) => {
  const loop = open<string>()
  loop.timeoutMs('t', 0)
  const gate = deferred()
  const { handler, names } = collect<string>({
    timeout: async (loop: EventLoop) => {
      await gate.promise
      loop.shutdown()
    },
  } as never)
  const run = loop.run(handler)
  await immediate()
  gate.resolve()
  await run
  t.deepEqual(names(), ['timeout', 'tick'])
})

eachDriver('a returned thenable is heeded as a promise is', async (t, { open }) => {
  const loop = open<string>()
  loop.timeoutMs('t', 0)
  const run = loop.run({
    timeout: () => ({
      // oxlint-disable-next-line no-thenable
      then(_: unknown, reject: (error: unknown) => void) {
        reject(new Error('on purpose'))
      },
    }),
  } as never)
  await t.throwsAsync(run, { message: 'on purpose' })
})

eachDriver(
  'a promise that fails when its run is over is an unhandled rejection',
  async (t, { driver }) => {
    const source = `
    import { EventLoop } from 'miolo'
    process.on('unhandledRejection', (error) => console.log('unhandled', error.message))
    const loop = new EventLoop({ driver: '${driver}' })
    for (const each of [1, 2, 3]) loop.timeoutMs(each, 0)
    const run = loop.run({
      async timeout(_, timeout) {
        if (timeout === 3) await run.catch(() => {})
        if (timeout !== 1) throw new Error(timeout)
      },
    })
    await run.catch((error) => console.log('rejected', error.message))`
    t.like(await runCode(source), { code: 0, stdout: 'rejected 2\nunhandled 3\n', stderr: '' })
  },
)

/** What a run and its process come to, whose callbacks are these. */
function ends(driver: string, callbacks: string) {
  return runCode(`
    import { EventLoop } from 'miolo'
    const loop = new EventLoop({ driver: '${driver}' })
    for (const each of [1, 2]) loop.timeoutMs(each, 0)
    await loop.run({ ${callbacks} }).then(
      () => console.log('resolved'),
      (error) => console.log('rejected', error.message),
    )
    await new Promise((resolve) => setTimeout(resolve, 5))
    console.log('and goes on')`)
}

const FAILURES: [name: string, callbacks: string, first: string][] = [
  [
    'all promises of a batch',
    'async timeout(_, timeout) { throw new Error(timeout) }',
    'rejected 1',
  ],
  [
    'a promise and a callback',
    'timeout(_, timeout) { if (timeout === 1) return Promise.reject(new Error(1)); throw new Error(2) }',
    'rejected 2',
  ],
  [
    'a promise after a shutdown',
    'async timeout(loop) { loop.shutdown(); throw new Error("late") }',
    'rejected late',
  ],
  [
    'a promise after close',
    'async timeout(loop) { loop.close(); throw new Error("late") }',
    'rejected late',
  ],
]

for (const [name, callbacks, first] of FAILURES) {
  eachDriver(`${name} may fail: the run does, and the process goes on`, async (t, { driver }) => {
    const stdout = `${first}\nand goes on\n`
    t.like(await ends(driver, callbacks), { code: 0, stdout, stderr: '' })
  })
}

// Wrong use

eachWay('run while it runs is refused, and the run goes on', async (t, { open, run }) => {
  const loop = open<string>()
  loop.timeoutMs('t', 0)
  loop.timeoutMs('t', 5)
  const { handler, names } = collect<string>({
    timeout(loop) {
      throwsCode(t, () => loop.run({}), 'ERR_MIOLO_RUNNING', LoopError)
      throwsCode(t, () => loop.runOnce({}), 'ERR_MIOLO_RUNNING', LoopError)
      throwsCode(t, () => loop.runSync({}), 'ERR_MIOLO_RUNNING', LoopError)
      if (names().filter((name) => name === 'timeout').length === 2) loop.shutdown()
    },
  })
  await run(loop, handler)
})

eachDriver('run while it runs is refused from outside, too', async (t, { open }) => {
  const loop = open()
  const run = loop.run({})
  throwsCode(t, () => loop.run({}), 'ERR_MIOLO_RUNNING', LoopError)
  throwsCode(t, () => loop.runSync({}), 'ERR_MIOLO_RUNNING', LoopError)
  loop.shutdown()
  await run
})

eachDriver('what run refuses does not use up a shutdown', async (t, { open }) => {
  const loop = open()
  loop.shutdown()
  throwsCode(t, () => loop.run(null as never), 'ERR_INVALID_ARG_TYPE', TypeError)
  t.false(loop.isRunning())
  await loop.run({})
  t.pass()
})

eachWay('other loops can be run in a callback', async (t, { open, run }) => {
  const outer = open<string>()
  const inner = open<string>()
  const said: string[] = []
  inner.timeoutMs('inner', 0)
  outer.timeoutMs('outer', 0)
  await run(outer, {
    timeout(outer, timeout) {
      inner.runSync({
        timeout(inner, timeout) {
          said.push(timeout)
          inner.shutdown()
        },
      })
      said.push(timeout)
      outer.shutdown()
    },
  })
  t.deepEqual(said, ['inner', 'outer'])
})

eachDriver('many loops run at once', async (t, { open }) => {
  const count = 20
  const done = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const loop = open<number, number>()
      let sum = 0
      loop.timeoutMs(1, index)
      loop.channel().send(2)
      await loop.run({
        notify: (_, message) => {
          sum += message
        },
        timeout: (_, timeout) => {
          sum += timeout
        },
        tick: (loop) => {
          if (sum === 3) loop.shutdown()
        },
      })
      return sum
    }),
  )
  t.deepEqual(
    done,
    Array.from({ length: count }, () => 3),
  )
})
