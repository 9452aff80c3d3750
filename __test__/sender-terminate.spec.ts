import test from 'ava'
import { EventLoop, Sender } from 'miolo'

import { within } from './support/deadline.ts'
import { drivers } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'

/** Sends for ever, in all sizes, until it is terminated. */
const SENDS = `
  const { workerData: { shared, id } } = require('node:worker_threads')
  const { Sender } = require('miolo')
  const sender = Sender.from(shared)
  const long = 'z'.repeat(100_000)
  for (let n = 0; ; ) {
    const message = n % 50 === 0 ? { id, n, long } : n % 3 === 0 ? id + ' ' + n : id * 1e9 + n
    try {
      sender.send(message)
      n++
    } catch (error) {
      if (error.code !== 'ERR_MIOLO_NOTIFY_FULL') throw error
    }
  }
`

function read(message: unknown): { id: number; n: number } {
  if (typeof message === 'number') return { id: Math.floor(message / 1e9), n: message % 1e9 }
  if (typeof message === 'object') return message as { id: number; n: number }
  const [id, n] = String(message).split(' ')
  return { id: Number(id), n: Number(n) }
}

const CAPACITY = 64
const WORKERS = 24

for (const driver of drivers) {
  test.serial(`a worker terminated while it sends costs nothing (${driver})`, async (t) => {
    using loop = new EventLoop<unknown, unknown>({ driver, notifyCapacity: CAPACITY })
    const local = loop.channel()
    const shared = local.share()
    // So few lanes that each is used by several workers, one after the other.
    const others = Array.from({ length: 60 }, () => Sender.from(shared))
    const next: number[] = Array.from({ length: WORKERS }, () => 0)
    const workers: (TestWorker | undefined)[] = []
    let started = 0

    function start(): void {
      if (started === WORKERS) return
      const id = started++
      const workerData = { shared, id }
      workers[id] = TestWorker.code(SENDS, { workerData, execArgv: [] })
    }

    let left = WORKERS
    async function end(id: number): Promise<void> {
      const worker = workers[id]
      workers[id] = undefined
      await worker?.close()
      start()
      if (--left === 0) local.send('the end')
    }

    for (let count = 0; count < 3; count++) start()
    await within('the messages', () =>
      loop.run({
        notify(loop, message) {
          if (message === 'the end') return loop.shutdown()
          const { id, n } = read(message)
          if (n !== next[id]) throw new Error(`${n} of ${id}, and not ${next[id]}`)
          next[id]!++
          // At a different place each time.
          if (n === 300 + id * 17) end(id).catch(() => {})
        },
      }),
    )
    t.true(next.every((count, id) => count > 300 + id * 17))

    // Everything that was counted has come, so that all of the capacity is there again.
    for (let count = 0; count < CAPACITY; count++) local.send(count)
    t.throws(() => local.send('one more'), { code: 'ERR_MIOLO_NOTIFY_FULL' })
    let count = 0
    await within('the messages', () =>
      loop.run({
        notify(loop, message) {
          t.is(message, count++)
          if (count === CAPACITY) loop.shutdown()
        },
      }),
    )
    t.is(others.length, 60)
  })
}
