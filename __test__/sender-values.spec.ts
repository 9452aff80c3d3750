import { isDeepStrictEqual } from 'node:util'

import test from 'ava'
import * as fc from 'fast-check'
import { EventLoop, LoopError, Sender } from 'miolo'

import { within } from './support/deadline.ts'
import { eachDriver, eachWay } from './support/drivers.ts'
import { rejectsCode } from './support/errors.ts'
import { TestWorker } from './support/process.ts'

/** Sends back whatever it is sent, from a loop of its own. */
const ECHOES = `
  const { workerData: { back, driver, sync }, parentPort } = require('node:worker_threads')
  const { EventLoop, Sender } = require('miolo')
  const loop = new EventLoop({ driver })
  const sender = Sender.from(back)
  parentPort.postMessage(loop.channel().share())
  const handler = {
    notify(loop, message) {
      if (message === 'the end') loop.shutdown()
      sender.send(message)
    },
  }
  if (sync) loop.runSync(handler)
  else loop.run(handler).then(() => loop.close())
`

/** What becomes of values on the way to a worker's loop and back. */
async function roundTrip(
  { open, keep, driver }: Parameters<Parameters<typeof eachDriver>[1]>[1],
  values: unknown[],
  sync = false,
): Promise<unknown[]> {
  const loop = open<unknown, unknown>()
  const workerData = { back: loop.channel().share(), driver, sync }
  const worker = keep(TestWorker.code(ECHOES, { workerData, execArgv: [] }))
  const sender = Sender.from<unknown>(await worker.message())
  for (const value of values) sender.send(value)
  sender.send('the end')
  const got: unknown[] = []
  await loop.run({
    notify(loop, message) {
      if (message === 'the end') loop.shutdown()
      else got.push(message)
    },
  })
  await worker.exit()
  return got
}

const cyclic: { self?: unknown } = {}
cyclic.self = cyclic

const numbers = [
  ...[0, -0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 32, 0.1, -1.5],
  ...[NaN, Infinity, -Infinity, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
  ...[Number.MAX_VALUE, Number.MIN_VALUE, Number.EPSILON],
]

const strings = [
  ...[
    '',
    'a',
    '\0',
    'é',
    'ÿ',
    'Ā',
    '日本',
    '🎉',
    '\ufeffbom',
    '\ud800',
    'a\udc00b',
    '\udc00\ud800',
  ],
  ...[127, 128, 129, 65_527, 65_528, 65_529, 65_536, 1_000_000].flatMap((length) => [
    'x'.repeat(length),
    'é'.repeat(length),
    '語'.repeat(length),
    `${'x'.repeat(length - 1)}\ud83c`,
  ]),
]

const bytes = [0, 1, 7, 8, 9, 63, 64, 65_527, 65_528, 65_529, 65_536, 262_144, 3_000_000].map(
  (length) => Uint8Array.from({ length }, (_, index) => index * 7),
)

const others = [
  ...[true, false, null, undefined, 10n, -(2n ** 70n)],
  ...[{}, [], { a: [1, { b: 2 }], c: undefined }, cyclic, Array(3)],
  ...[new Date(0), new Date(NaN), /a+/giu, new Map([[{ k: 1 }, new Set([1, 'x'])]]), new Set()],
  ...[new ArrayBuffer(9), Float64Array.of(1.5, -0, NaN), BigInt64Array.of(-1n)],
  ...[new DataView(new ArrayBuffer(4), 1, 2), Object(1), Object('s'), Object(false)],
  ...[{ bytes: Uint8Array.of(1, 2, 3), words: Int32Array.of(4, 5) }],
  ...[{ big: 'x'.repeat(1_500_000), more: Array.from({ length: 1000 }, (_, n) => ({ n })) }],
]

for (const sync of [false, true]) {
  eachDriver(
    `values are the same on the other side${sync ? ' (runSync)' : ''}`,
    async (t, stage) => {
      const values = [...numbers, ...strings, ...bytes, ...others]
      const got = await roundTrip(stage, values, sync)
      t.is(got.length, values.length)
      for (const [index, value] of values.entries()) {
        // deepStrictEqual tells -0 from 0, and takes NaN for itself.
        if (!isDeepStrictEqual(got[index], value)) t.deepEqual(got[index], value)
      }
      t.pass()
    },
  )
}

eachDriver('bytes arrive as a Uint8Array of their own', async (t, stage) => {
  const memory = new Uint8Array([0, 1, 2, 3, 4, 5])
  const shared = new Uint8Array(new SharedArrayBuffer(4)).fill(9)
  const values = [Buffer.from('buffer'), memory.subarray(2, 4), shared, Buffer.alloc(100_000, 1)]
  const got = (await roundTrip(stage, values)) as Uint8Array[]
  for (const [index, value] of values.entries()) {
    t.is(Object.getPrototypeOf(got[index]), Uint8Array.prototype)
    t.true(got[index]!.buffer instanceof ArrayBuffer)
    t.is(Buffer.compare(got[index]!, value), 0)
  }
})

eachDriver('an Error keeps its kind and its message', async (t, stage) => {
  const [error] = await roundTrip(stage, [new RangeError('far out')])
  t.true(error instanceof RangeError)
  t.is((error as Error).message, 'far out')
})

eachDriver('any clonable value is the same on the other side', async (t, stage) => {
  const anything = fc.anything({
    withBigInt: true,
    withBoxedValues: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withUnicodeString: true,
  } as fc.ObjectConstraints)
  const values = fc.sample(anything, { numRuns: 300, seed: 42 })
  const got = await roundTrip(stage, values)
  t.is(got.length, values.length)
  for (const [index, value] of values.entries()) {
    if (!isDeepStrictEqual(got[index], structuredClone(value))) t.deepEqual(got[index], value)
  }
})

/** It has no type here, as the types of Node have none. */
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { Module: new (bytes: Uint8Array) => object }
}

/** Sends what is nested so deep that a thread with a small stack cannot read it, and something else behind it. */
const SENDS_DEEP = `
  const { workerData } = require('node:worker_threads')
  const { Sender } = require('miolo')
  let deep = []
  for (let level = 0; level < 60_000; level++) deep = [deep]
  const sender = Sender.from(workerData)
  sender.send('before')
  sender.send(deep)
  sender.send('behind')
`

eachWay('what cannot be read is told and dropped, and harms nothing else', async (t, stage) => {
  const loop = stage.open<unknown, unknown>({ notifyCapacity: 4 })
  const shared = loop.channel().share()
  const came: unknown[] = []
  const handler = {
    notify(loop: EventLoop<unknown, unknown>, message: unknown) {
      came.push(message)
      if (message === 'behind') loop.shutdown()
    },
  }
  const failsOnce = async () => {
    const code = 'ERR_MIOLO_UNREADABLE_MESSAGE'
    const error = await rejectsCode(t, stage.run(loop, handler), code, LoopError)
    t.true(error.cause instanceof Error)
    await stage.run(loop, handler)
    t.deepEqual(came.splice(0), ['before', 'behind'])
  }
  const options = { workerData: shared, execArgv: [], resourceLimits: { stackSizeMb: 64 } }
  stage.keep(TestWorker.code(SENDS_DEEP, options))
  await failsOnce()
  // As many as there is room for, so that each of those that are dropped gives its place back.
  const sender = Sender.from<unknown>(shared)
  const unreadable = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0))
  for (let round = 0; round < 3; round++) {
    for (const message of ['before', unreadable, 'behind']) sender.send(message)
    await failsOnce()
  }
})

const unclonable: Record<string, unknown> = {
  function: () => {},
  symbol: Symbol('s'),
  'object with a function': { deep: [{ f: () => {} }] },
  WeakMap: new WeakMap(),
  Promise: Promise.resolve(),
  generator: (function* () {})(),
  Proxy: new Proxy({}, {}),
}

eachDriver(
  'what cannot be cloned throws in the sender, and takes no place',
  async (t, { open }) => {
    const loop = open<unknown, unknown>({ notifyCapacity: 1 })
    const sender = Sender.from<unknown>(loop.channel().share())
    for (const [name, value] of Object.entries(unclonable)) {
      t.throws(() => sender.send(value), { any: true, name: 'DataCloneError' }, name)
    }
    t.throws(() => sender.send(new SharedArrayBuffer(8)), { any: true, name: 'DataCloneError' })
    // Nothing but its length is looked at, so the system gives no memory to it.
    const huge = new Uint8Array(2 ** 31)
    t.throws(() => sender.send(huge), { any: true, name: 'DataCloneError' })
    const boom = new Error('boom')
    const thrower = {
      get value() {
        throw boom
      },
    }
    t.is(
      t.throws(() => sender.send(thrower)),
      boom,
    )
    sender.send('there was room')
    const got: unknown[] = []
    await loop.run({
      notify(loop, message) {
        got.push(message)
        loop.shutdown()
      },
    })
    t.deepEqual(got, ['there was room'])
  },
)

eachDriver('a getter that sends while its object is cloned is before it', async (t, { open }) => {
  const loop = open<unknown, unknown>()
  const sender = Sender.from<unknown>(loop.channel().share())
  sender.send({
    get value() {
      sender.send('inner')
      return 1
    },
  })
  sender.send('after')
  const got: unknown[] = []
  await loop.run({
    notify(loop, message) {
      got.push(message)
      if (message === 'after') loop.shutdown()
    },
  })
  t.deepEqual(got, ['inner', { value: 1 }, 'after'])
})

test('a Sender of the same thread passes any value by reference', async (t) => {
  using loop = new EventLoop<unknown, unknown>()
  const sender = loop.channel()
  for (const value of Object.values(unclonable)) sender.send(value)
  const got: unknown[] = []
  await within('the messages', () =>
    loop.run({
      notify: (_, message) => {
        got.push(message)
      },
      tick: (loop) => loop.shutdown(),
    }),
  )
  t.true(got.every((value, index) => value === Object.values(unclonable)[index]))
})
