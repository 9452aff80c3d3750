import { setImmediate as turn } from 'node:timers/promises'

import test from 'ava'
import { EventLoop, LoopError, NotifyError, Sender } from 'miolo'

import { within } from './support/deadline.ts'
import { eachDriver, eachWay } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { TestWorker } from './support/process.ts'

/** Sends until the channel is full, whenever it is asked to, and tells how many there was room for. */
const FILLS = `
  const { workerData: { shared, size }, parentPort } = require('node:worker_threads')
  const { Sender } = require('miolo')
  const sender = Sender.from(shared)
  parentPort.on('message', () => {
    for (let sent = 0; ; sent++) {
      const message = size === 0 ? sent : 'x'.repeat(size)
      try {
        sender.send(message)
      } catch (error) {
        const { name, code, rejected } = error
        return parentPort.postMessage({ sent, name, code, isSame: rejected === message })
      }
    }
  })
`

interface Filled {
  sent: number
  name: string
  code: string
  isSame: boolean
}

for (const [what, capacity, size] of [
  ['small messages', 1000, 0],
  ['messages that fill their lane', 100, 20_000],
  ['messages longer than a lane', 10, 300_000],
] as const) {
  eachWay(`${what}: the capacity is exact over several Senders`, async (t, stage) => {
    const loop = stage.open({ notifyCapacity: capacity })
    const local = loop.channel()
    const workerData = { shared: local.share(), size }
    const workers = [0, 1].map(() => {
      return stage.keep(TestWorker.code(FILLS, { workerData, execArgv: [] }))
    })
    for (let round = 0; round < 3; round++) {
      local.send('local')
      for (const { worker } of workers) worker.postMessage('go')
      const filled = await Promise.all(workers.map((worker) => worker.message<Filled>()))
      t.is(1 + filled[0]!.sent + filled[1]!.sent, capacity)
      for (const { name, code, isSame } of filled) {
        t.deepEqual([name, code, isSame], ['NotifyError', 'ERR_MIOLO_NOTIFY_FULL', true])
      }
      const mine = {}
      const error = throwsCode(t, () => local.send(mine), 'ERR_MIOLO_NOTIFY_FULL', NotifyError)
      t.is((error as unknown as NotifyError).rejected, mine)

      let left: number = capacity
      await stage.run(loop, {
        notify(loop) {
          if (--left === 0) loop.shutdown()
        },
      })
      t.is(left, 0)
    }
  })
}

eachDriver('there is room as soon as notify is called', async (t, stage) => {
  const loop = stage.open<unknown, number>({ notifyCapacity: 1 })
  const [local, other] = [loop.channel(), Sender.from<number>(loop.channel().share())]
  local.send(0)
  throwsCode(t, () => other.send(1), 'ERR_MIOLO_NOTIFY_FULL', NotifyError)
  const got: number[] = []
  await loop.run({
    notify(loop, message) {
      got.push(message)
      if (message === 9) return loop.shutdown()
      const sender = message % 2 === 0 ? other : local
      sender.send(message + 1)
      throwsCode(t, () => sender.send(-1), 'ERR_MIOLO_NOTIFY_FULL', NotifyError)
    },
  })
  t.deepEqual(
    got,
    Array.from({ length: 10 }, (_, n) => n),
  )
})

eachDriver('a worker that is told Closed gets its message back', async (t, stage) => {
  const loop = stage.open()
  const workerData = { shared: loop.channel().share(), size: 0 }
  const worker = stage.keep(TestWorker.code(FILLS, { workerData, execArgv: [] }))
  worker.worker.postMessage('go')
  t.is((await worker.message<Filled>()).sent, 4096)
  loop.close()
  worker.worker.postMessage('go')
  t.deepEqual(await worker.message<Filled>(), {
    sent: 0,
    name: 'NotifyError',
    code: 'ERR_MIOLO_NOTIFY_CLOSED',
    isSame: true,
  })
})

eachDriver('a loop that is closed while a worker sends closes the channel', async (t, stage) => {
  const loop = stage.open({ notifyCapacity: 2 ** 24 })
  const workerData = { shared: loop.channel().share(), size: 0 }
  const worker = stage.keep(TestWorker.code(FILLS, { workerData, execArgv: [] }))
  worker.worker.postMessage('go')
  let count = 0
  await loop.run({
    notify(loop) {
      if (++count === 1000) loop.close()
    },
  })
  t.is(count, 1000)
  t.like(await worker.message<Filled>(), { code: 'ERR_MIOLO_NOTIFY_CLOSED', isSame: true })
})

test('a SharedSender of a closed loop cannot be used', (t) => {
  const loop = new EventLoop()
  const sender = loop.channel()
  const shared = sender.share()
  const attached = Sender.from(shared)
  loop.close()
  const message = { m: 1 }
  for (const each of [sender, attached]) {
    const error = throwsCode(t, () => each.send(message), 'ERR_MIOLO_NOTIFY_CLOSED', NotifyError)
    t.is((error as unknown as NotifyError).rejected, message)
  }
  throwsCode(t, () => Sender.from(shared), 'ERR_MIOLO_CLOSED', LoopError)
  throwsCode(t, () => sender.share(), 'ERR_MIOLO_CLOSED', LoopError)
  throwsCode(t, () => loop.channel(), 'ERR_MIOLO_CLOSED', LoopError)
})

test('64 Senders in other threads may be in use at once', (t) => {
  using loop = new EventLoop()
  const shared = loop.channel().share()
  const senders = Array.from({ length: 64 }, () => Sender.from(shared))
  throwsCode(t, () => Sender.from(shared), 'ERR_MIOLO_TOO_MANY_SENDERS', LoopError)
  for (const sender of senders) sender.send('x')
  t.notThrows(() => loop.channel().send('one of the same thread is none of them'))
})

const SENDS_ONE = `
  const { workerData: { shared, message } } = require('node:worker_threads')
  require('miolo').Sender.from(shared).send(message)
`

test('the place of a worker that has ended can be used again, once it is read', async (t) => {
  using loop = new EventLoop<unknown, unknown>()
  const shared = loop.channel().share()
  const senders = Array.from({ length: 63 }, () => Sender.from(shared))
  const got: unknown[] = []
  for (let message = 0; message < 4; message++) {
    const workerData = { shared, message }
    const worker = TestWorker.code(SENDS_ONE, { workerData, execArgv: [] })
    t.is(await worker.exit(), 0)
    // What it has sent is still in its lane.
    throwsCode(t, () => Sender.from(shared), 'ERR_MIOLO_TOO_MANY_SENDERS', LoopError)
    await within('its message', () =>
      loop.run({
        notify(loop, message) {
          got.push(message)
          loop.shutdown()
        },
      }),
    )
    await turn()
  }
  t.deepEqual(got, [0, 1, 2, 3])
  t.is(senders.length, 63)
})
