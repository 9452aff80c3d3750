/** Messages of Senders that were shared: as structured clones, in order, exactly once, within the capacity. */

import fc from 'fast-check'
import { type EventLoop, NotifyError, Sender } from 'miolo'

import { eachDriver, eachWay } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { TestWorker } from './support/process.ts'

/** Sends and receives until all have come; a shared Sender in the loop's own thread takes the same way. */
async function roundTrip(
  loop: EventLoop<unknown, unknown>,
  messages: unknown[],
): Promise<unknown[]> {
  const sender = Sender.from(loop.channel().share())
  const received: unknown[] = []
  let sent = 0
  const fill = () => {
    try {
      while (sent < messages.length) {
        sender.send(messages[sent])
        sent++
      }
    } catch (error) {
      if ((error as NotifyError).code !== 'ERR_MIOLO_NOTIFY_FULL') throw error
    }
  }
  fill()
  await loop.run({
    notify(loop, message) {
      received.push(message)
      fill()
      if (received.length === messages.length) loop.shutdown()
    },
  })
  return received
}

eachDriver('numbers arrive bit by bit', async (t, { open }) => {
  const numbers = [
    0,
    -0,
    1,
    -1,
    2 ** 31 - 1,
    -(2 ** 31),
    2 ** 31,
    2 ** 32,
    2 ** 53,
    0.1,
    5e-324,
    1.7e308,
  ]
  const all = [...numbers, NaN, Infinity, -Infinity]
  const received = await roundTrip(open(), all)
  t.is(received.length, all.length)
  for (const [index, number] of all.entries())
    t.true(Object.is(received[index], number), `${number}`)
})

eachDriver(
  'strings arrive letter by letter, whatever their letters and length',
  async (t, { open }) => {
    const strings = ['', 'a', 'é', 'ÿ', 'Ā', '日本', '😀', '\ud800', '\udc00\ud800', '\0', 'a\0b']
    for (const length of [
      1, 7, 8, 9, 127, 128, 129, 1000, 65_535, 131_071, 131_072, 131_073, 300_000,
    ]) {
      for (const letter of ['a', 'ÿ', '本', '\ud800']) strings.push(letter.repeat(length))
      strings.push(`${'a'.repeat(length - 1)}本`)
    }
    t.deepEqual(await roundTrip(open(), strings), strings)
  },
)

eachDriver('byte arrays arrive byte by byte, as copies', async (t, { open }) => {
  const lengths = [0, 1, 7, 8, 9, 64, 1000, 65_536, 131_064, 131_072, 131_073, 600_000]
  const arrays = lengths.map((length) => Uint8Array.from({ length }, (_, index) => index * 7))
  const views = arrays.map((bytes) => bytes.subarray(bytes.length >> 2))
  const shared = new Uint8Array(new SharedArrayBuffer(10)).fill(3)
  const all = [...arrays, ...views, Buffer.from('buffer'), shared]
  const received = await roundTrip(open(), all)
  for (const [index, bytes] of all.entries()) {
    const copy = received[index] as Uint8Array
    t.is(Object.getPrototypeOf(copy), Uint8Array.prototype)
    t.true(copy !== bytes && Buffer.compare(copy, bytes) === 0)
    t.true(copy.buffer instanceof ArrayBuffer)
  }
})

eachDriver('a byte array that lies about its length arrives as what it is', async (t, { open }) => {
  class Liar extends Uint8Array {
    override get length() {
      return 4
    }
    override get byteLength() {
      return 2
    }
  }
  const liars = [1000, 100_000, 200_000, 3].map((size) => new Liar(size).fill(7))
  const messages = liars.flatMap((liar) => ['before', liar, 'behind'])
  const received = await roundTrip(open(), messages)
  for (const [index, message] of messages.entries()) {
    if (typeof message === 'string') t.is(received[index], message)
    else t.is(Buffer.from((received[index] as Uint8Array).buffer).length, message.buffer.byteLength)
  }
})

eachDriver(
  'what else can be cloned arrives as structuredClone would have it',
  async (t, { open }) => {
    const cyclic: Record<string, unknown> = { name: 'cyclic' }
    cyclic.self = cyclic
    const messages = [
      undefined,
      null,
      true,
      1n,
      -(2n ** 70n),
      new Date(5),
      /x/gi,
      new Map<unknown, unknown>([[1, { a: [1, 2] }]]),
      new Set([1, '2']),
      [1, , 3], // oxlint-disable-line no-sparse-arrays
      { deep: { deeper: [{}] } },
      new Float64Array([1.5, NaN]),
      new Int32Array(3).subarray(1),
      new ArrayBuffer(5),
      new DataView(new ArrayBuffer(4), 1, 2),
      new RangeError('x'),
      new Number(3),
      cyclic,
    ]
    const received = await roundTrip(open(), messages)
    for (const [index, message] of messages.entries())
      t.deepEqual(received[index], structuredClone(message))
  },
)

eachDriver('any messages arrive in order, exactly once', async (t, { open }) => {
  const message = fc.oneof(
    fc.integer(),
    fc.double(),
    fc.string({ maxLength: 300, unit: 'binary' }),
    fc.uint8Array({ maxLength: 300 }),
    fc.integer({ min: 0, max: 140_000 }).map((length) => 'x'.repeat(length)),
    fc.integer({ min: 0, max: 280_000 }).map((length) => new Uint8Array(length).fill(length)),
    fc.object({ maxDepth: 2 }),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(message, { maxLength: 60 }),
      fc.constantFrom(1, 2, 7, 4096),
      async (messages, notifyCapacity) => {
        if (messages.length === 0) return
        using loop = open({ notifyCapacity })
        const received = await roundTrip(loop, messages)
        t.is(received.length, messages.length)
        for (const [index, sent] of messages.entries()) {
          const got = received[index]
          const isSame =
            sent instanceof Uint8Array
              ? Buffer.compare(sent, got as Uint8Array) === 0
              : typeof sent === 'object' || Object.is(sent, got)
          if (!isSame) t.fail(`message ${index}`)
          if (typeof sent === 'object' && !(sent instanceof Uint8Array)) {
            t.deepEqual(got, structuredClone(sent))
          }
        }
      },
    ),
    { numRuns: 20 },
  )
})

eachDriver('a lane that is full spills, and the order holds', async (t, { open }) => {
  const count = 3000
  const loop = open<unknown, unknown>({ notifyCapacity: count })
  const sender = Sender.from(loop.channel().share())
  const messages = Array.from({ length: count }, (_, index) =>
    index % 5 === 0 ? `${index}:${'x'.repeat((index * 37) % 3000)}` : index,
  )
  for (const message of messages) sender.send(message)
  const received: unknown[] = []
  await loop.run({
    notify(loop, message) {
      received.push(message)
      if (received.length === count) loop.shutdown()
    },
  })
  t.deepEqual(received, messages)
})

eachDriver('close makes shared Senders Closed', (t, { open }) => {
  const loop = open<unknown, string>({ notifyCapacity: 2 })
  const senders = [1, 2].map(() => Sender.from<string>(loop.channel().share()))
  senders[0]?.send('waits')
  loop.close()
  for (const sender of senders) {
    const error = throwsCode(t, () => sender.send('late'), 'ERR_MIOLO_NOTIFY_CLOSED', NotifyError)
    t.is((error as unknown as NotifyError).rejected, 'late')
  }
})

eachDriver('a Sender that was shared can be shared on', async (t, { open }) => {
  const loop = open<unknown, string>()
  const first = Sender.from<string>(loop.channel().share())
  const second = Sender.from<string>(structuredClone(first.share()))
  second.send('hello')
  await loop.run({
    notify(loop, message) {
      t.is(message, 'hello')
      loop.shutdown()
    },
  })
})

// From other threads

/** A worker that sends `{ from, each }`, waiting where there is no room. */
const SENDING = `
  const { Sender } = require('miolo')
  const { workerData, parentPort } = require('node:worker_threads')
  const sender = Sender.from(workerData.shared)
  for (let each = 0; each < workerData.count; ) {
    try {
      const long = each % 100 === 0 ? 'x'.repeat(150_000) : ''
      sender.send(each % 3 === 0 ? [workerData.from, each, long] : workerData.from * 1e6 + each)
      each++
    } catch (error) {
      if (error.code !== 'ERR_MIOLO_NOTIFY_FULL') throw error
    }
  }
  parentPort.postMessage('sent')`

for (const notifyCapacity of [1, 1000]) {
  eachWay(
    `three workers with a capacity of ${notifyCapacity}: in order, none lost or doubled`,
    async (t, stage) => {
      const loop = stage.open<unknown, number | [number, number, string]>({
        notifyCapacity,
        messagesPerTick: 10,
      })
      const shared = loop.channel().share()
      const count = notifyCapacity === 1 ? 300 : 3000
      const workers = [0, 1, 2].map((from) =>
        stage.keep(TestWorker.code(SENDING, { workerData: { shared, from, count } })),
      )
      const next = [0, 0, 0]
      let wrong = 0
      await stage.run(loop, {
        notify(loop, message) {
          const [from, each] =
            typeof message === 'number' ? [Math.floor(message / 1e6), message % 1e6] : message
          if (next[from] !== each) wrong++
          next[from] = each + 1
          if (next.every((received) => received === count)) loop.shutdown()
        },
      })
      t.is(wrong, 0)
      for (const worker of workers) {
        t.is(await worker.message(), 'sent')
        t.is(await worker.exit(), 0)
      }
      t.is(loop.metrics().events.notify, 3 * count)
    },
  )
}

eachDriver('a worker’s message wakes a loop that sleeps, each time', async (t, { open, keep }) => {
  const loop = open<unknown, number>()
  const worker = keep(
    TestWorker.code(
      `const { Sender } = require('miolo')
      const { workerData, parentPort } = require('node:worker_threads')
      const sender = Sender.from(workerData)
      parentPort.on('message', (n) => { if (n < 0) parentPort.close(); else sender.send(n) })`,
      { workerData: loop.channel().share() },
    ),
  )
  let expected = 0
  worker.worker.postMessage(0)
  await loop.run({
    notify(loop, message) {
      t.is(message, expected++)
      worker.worker.postMessage(expected < 300 ? expected : -1)
      if (expected === 300) loop.shutdown()
    },
  })
  t.is(await worker.exit(), 0)
})
