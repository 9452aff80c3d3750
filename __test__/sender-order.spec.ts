import { eachWay } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'

const WORKERS = 3

/** Sends `id` and 0, 1, 2, … in one shape after the other, as fast as there is room. */
const SENDS = `
  const { workerData: { shared, id, count } } = require('node:worker_threads')
  const { Sender } = require('miolo')
  const sender = Sender.from(shared)
  const shapes = {
    numbers: (n) => id * 1e9 + n,
    fractions: (n) => id * 1e9 + n + 0.5,
    strings: (n) => id + ' ' + n + ' ' + 'x'.repeat(n % 300),
    wide: (n) => id + ' ' + n + ' ' + '語'.repeat(n % 300),
    bytes: (n) => new Uint8Array(Int32Array.of(id, n, ...Array(n % 16).fill(7)).buffer),
    objects: (n) => ({ id, n, more: [n] }),
    // Some far longer than a lane, so that they and what follows them are spilled.
    mixed: (n) =>
      n % 97 === 0 ? { id, n, more: 'y'.repeat(n * 20) }
      : n % 89 === 0 ? id + ' ' + n + ' ' + 'z'.repeat(200_000)
      : n % 5 === 0 ? shapes.strings(n)
      : n % 3 === 0 ? shapes.bytes(n)
      : n % 2 === 0 ? shapes.objects(n)
      : shapes.numbers(n),
  }
  const order = Object.values(shapes)
  for (let n = 0; n < count; ) {
    try {
      sender.send(order[Math.floor((n * order.length) / count)](n))
      n++
    } catch (error) {
      if (error.code !== 'ERR_MIOLO_NOTIFY_FULL') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
`

/** Whom a message is from, and the how manieth it is. */
function read(message: unknown): { id: number; n: number } {
  if (typeof message === 'number') {
    return { id: Math.floor(message / 1e9), n: Math.floor(message % 1e9) }
  }
  if (typeof message === 'string') {
    const [id, n, rest] = message.split(' ')
    if (rest!.length !== Number(n) % 300 && rest!.length !== 200_000) throw new Error('cut')
    return { id: Number(id), n: Number(n) }
  }
  if (message instanceof Uint8Array) {
    const [id, n, ...rest] = new Int32Array(message.buffer, message.byteOffset, message.length / 4)
    if (rest.length !== n! % 16 || !rest.every((word) => word === 7)) throw new Error('cut')
    return { id: id!, n: n! }
  }
  return message as { id: number; n: number }
}

/** As mio's test of its battery: a million, all of which may wait. */
const BATTERY = `
  const { workerData: { shared, count } } = require('node:worker_threads')
  const { Sender } = require('miolo')
  const sender = Sender.from(shared)
  for (let n = 0; n < count; n++) sender.send('a message of 22 bytes.')
`

eachWay('a million messages arrive, each once', async (t, stage) => {
  const count = 1_000_000
  const loop = stage.open<unknown, string>({ notifyCapacity: 1_048_576, messagesPerTick: 64 })
  const workerData = { shared: loop.channel().share(), count }
  stage.keep(TestWorker.code(BATTERY, { workerData, execArgv: [] }))
  let received = 0
  let wrong = 0
  let inTick = 0
  await stage.run(loop, {
    notify(loop, message) {
      if (message !== 'a message of 22 bytes.') wrong++
      inTick++
      if (++received === count) loop.shutdown()
    },
    tick() {
      if (inTick > 64) wrong++
      inTick = 0
    },
  })
  t.is(received, count)
  t.is(wrong, 0)
})

eachWay('messages of several workers all come, in the order of each', async (t, stage) => {
  const loop = stage.open<unknown, unknown>({ notifyCapacity: 300 })
  const shared = loop.channel().share()
  const count = 14_000
  for (let id = 0; id < WORKERS; id++) {
    stage.keep(TestWorker.code(SENDS, { workerData: { shared, id, count }, execArgv: [] }))
  }
  const next: number[] = Array.from({ length: WORKERS }, () => 0)
  let left = WORKERS * count
  await stage.run(loop, {
    notify(loop, message) {
      const { id, n } = read(message)
      if (n !== next[id]) throw new Error(`${n} of ${id}, and not ${next[id]}`)
      next[id]!++
      if (--left === 0) loop.shutdown()
    },
  })
  t.deepEqual(
    next,
    Array.from({ length: WORKERS }, () => count),
  )
})

eachWay('what one iteration delivers of several workers is bounded', async (t, stage) => {
  const loop = stage.open<unknown, unknown>({ messagesPerTick: 10 })
  const local = loop.channel()
  const shared = local.share()
  const count = 500
  for (let id = 0; id < 2; id++) {
    stage.keep(TestWorker.code(SENDS, { workerData: { shared, id, count }, execArgv: [] }))
  }
  let left = 2 * count
  let inThisIteration = 0
  await stage.run(loop, {
    notify(loop, message) {
      inThisIteration++
      if (message === 'local') return
      if (--left === 0) loop.shutdown()
      // One that comes between two iterations.
      else setImmediate(() => left > 0 && local.send('local'))
    },
    tick() {
      if (inThisIteration > 10) throw new Error(`${inThisIteration} in an iteration`)
      inThisIteration = 0
    },
  })
  t.is(left, 0)
})

eachWay('messages sent while the loop does not run wait for it', async (t, stage) => {
  const loop = stage.open<unknown, unknown>()
  const workerData = { shared: loop.channel().share(), id: 0, count: 100 }
  const worker = stage.keep(TestWorker.code(SENDS, { workerData, execArgv: [] }))
  t.is(await worker.exit(), 0)
  const got: number[] = []
  await stage.run(loop, {
    notify(loop, message) {
      got.push(read(message).n)
      if (got.length === 100) loop.shutdown()
    },
  })
  t.deepEqual(
    got,
    Array.from({ length: 100 }, (_, n) => n),
  )
})
