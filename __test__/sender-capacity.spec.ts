import { setImmediate as turn } from 'node:timers/promises'

import test from 'ava'
import { EventLoop, LoopError, NotifyError, Sender } from 'miolo'

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

for (const capacity of [1, 10]) {
  eachWay(
    `with a capacity of ${capacity} there is room as soon as notify is called, for any Sender`,
    async (t, { open, run }) => {
      const loop = open<unknown, number | Uint8Array>({ notifyCapacity: capacity })
      const local = loop.channel()
      const attach = () => Sender.from<number | Uint8Array>(local.share())
      const senders = [local, attach(), attach()]
      const count = capacity + 9
      let sent = 0
      const send = () => {
        // Those of the third are too long for a lane, and wait elsewhere.
        const message = sent % 3 === 2 ? new Uint8Array(200_000).fill(sent) : sent
        senders[sent++ % 3]?.send(message)
      }
      const isFull = () => {
        for (const sender of senders) {
          const error = throwsCode(t, () => sender.send(99), 'ERR_MIOLO_NOTIFY_FULL', NotifyError)
          t.is((error as unknown as NotifyError).rejected, 99)
        }
      }
      while (sent < capacity) send()
      isFull()
      const got: number[] = []
      await run(loop, {
        notify(loop, message) {
          got.push(typeof message === 'number' ? message : (message[0] as number))
          if (sent < count) {
            send()
            isFull()
          }
          if (got.length === count) loop.shutdown()
        },
      })
      const all = Array.from({ length: count }, (_, n) => n)
      if (capacity === 1) t.deepEqual(got, all)
      // Where several wait, those of each Sender are in order.
      for (const sender of [0, 1, 2]) {
        const isOfIt = (n: number) => n % 3 === sender
        t.deepEqual(got.filter(isOfIt), all.filter(isOfIt))
      }
    },
  )
}

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

eachDriver('64 Senders in other threads may be in use at once', async (t, { open }) => {
  const loop = open<unknown, number>()
  const shared = loop.channel().share()
  const senders = Array.from({ length: 64 }, () => Sender.from<number>(shared))
  throwsCode(t, () => Sender.from(shared), 'ERR_MIOLO_TOO_MANY_SENDERS', LoopError)
  // One of the same thread is none of them.
  senders.push(loop.channel())
  for (const [index, sender] of senders.entries()) sender.send(index)
  const got = new Set<number>()
  await loop.run({
    notify(loop, message) {
      got.add(message)
      if (got.size === 65) loop.shutdown()
    },
  })
  t.is(got.size, 65)
})

/** Sends one number by each of 16 Senders. */
const SENDS_SOME = `
  const { workerData: { shared, from } } = require('node:worker_threads')
  const { Sender } = require('miolo')
  for (let each = 0; each < 16; each++) Sender.from(shared).send(from + each)
`

eachDriver(
  'the places of a worker that has ended can be used again, once they are read',
  async (t, { open, keep }) => {
    const loop = open<unknown, number>()
    const shared = loop.channel().share()
    const senders = Array.from({ length: 48 }, () => Sender.from(shared))
    for (let from = 0; from < 64; from += 16) {
      const workerData = { shared, from }
      t.is(await keep(TestWorker.code(SENDS_SOME, { workerData, execArgv: [] })).exit(), 0)
      // What it has sent is still in its lanes.
      throwsCode(t, () => Sender.from(shared), 'ERR_MIOLO_TOO_MANY_SENDERS', LoopError)
      const got: number[] = []
      await loop.run({
        notify(loop, message) {
          got.push(message)
          if (got.length === 16) loop.shutdown()
        },
      })
      const sent = Array.from({ length: 16 }, (_, each) => from + each)
      t.deepEqual(
        got.sort((a, b) => a - b),
        sent,
      )
      await turn()
    }
    t.is(senders.length, 48)
  },
)
