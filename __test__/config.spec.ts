/** What an event loop is told when it is made. */

import test from 'ava'
import fc from 'fast-check'
import { EventLoop, type EventLoopConfig } from 'miolo'

import { eachDriver } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'

/** The numbers, and between what they have to be. */
const LIMITS = {
  notifyCapacity: [1, 2 ** 24],
  messagesPerTick: [1, 2 ** 24],
  timerTickMs: [1, 60_000],
  timerCapacity: [1, 2 ** 24],
  eventCapacity: [16, 2 ** 20],
  spinUs: [0, 1_000_000],
} as const

const names = Object.keys(LIMITS) as (keyof typeof LIMITS)[]

/** A message and a timeout reach a loop of this configuration. */
async function works(t: { true(value: boolean): void }, config: EventLoopConfig | undefined) {
  using loop = new EventLoop<string, string>(config)
  const seen = new Set<string>()
  const see = (what: string) => {
    seen.add(what)
    if (seen.size === 2) loop.shutdown()
  }
  loop.channel().send('m')
  loop.timeoutMs('t', 0)
  await loop.run({ notify: () => see('m'), timeout: () => see('t') })
  t.true(seen.size === 2)
}

test('no configuration is one', async (t) => {
  await works(t, undefined)
  await works(t, {})
  await works(t, {
    driver: undefined,
    spinUs: undefined,
    timerTickMs: undefined,
  } as EventLoopConfig)
})

for (const name of names) {
  const [min, max] = LIMITS[name]
  test(`${name} may be from ${min} to ${max}`, async (t) => {
    for (const driver of ['thread', 'embedded'] as const) {
      // A tick of a minute would have the timeout wait for it.
      if (name !== 'timerTickMs') await works(t, { driver, [name]: max })
      await works(t, { driver, [name]: min })
    }
    for (const value of [
      min - 1,
      max + 1,
      -1,
      min + 0.5,
      NaN,
      Infinity,
      -Infinity,
      2 ** 53,
      -(2 ** 31),
    ]) {
      const action = () => new EventLoop({ [name]: value })
      throwsCode(t, action, 'ERR_OUT_OF_RANGE', RangeError)
    }
    for (const value of [null, '1', true, {}, [], [1], 1n, Symbol('s'), () => 1, new Number(1)]) {
      const action = () => new EventLoop({ [name]: value as number })
      throwsCode(t, action, 'ERR_INVALID_ARG_TYPE', TypeError)
    }
  })
}

test('driver is one of three words', (t) => {
  const action = (driver: unknown) => () => new EventLoop({ driver: driver as 'thread' })
  for (const driver of ['', 'Auto', 'Thread', 'thread ', 'embedded\0']) {
    throwsCode(t, action(driver), 'ERR_INVALID_ARG_VALUE', TypeError)
  }
  for (const driver of [null, 0, 5, true, {}, [], ['thread'], Symbol('s'), 1n]) {
    throwsCode(t, action(driver), 'ERR_INVALID_ARG_TYPE', TypeError)
  }
})

test('a configuration is an object', (t) => {
  for (const config of [null, 0, 1, '', 'thread', true, false, NaN, Symbol('s'), 1n, () => {}]) {
    throwsCode(t, () => new EventLoop(config as never), 'ERR_INVALID_ARG_TYPE', TypeError)
  }
})

test('a configuration is read once, when the loop is made', async (t) => {
  const config: EventLoopConfig = { notifyCapacity: 1 }
  using loop = new EventLoop<unknown, number>(config)
  config.notifyCapacity = 10
  loop.channel().send(1)
  t.throws(() => loop.channel().send(2), { code: 'ERR_MIOLO_NOTIFY_FULL' })
  Object.freeze(config)
})

test('any configuration makes a loop that works, or a clear error', async (t) => {
  const garbage = fc.oneof(
    fc.integer({ min: -3, max: 70 }),
    fc.double(),
    fc.anything(),
    fc.constant(undefined),
  )
  const fields = Object.fromEntries([...names, 'driver', 'unknown'].map((name) => [name, garbage]))
  await fc.assert(
    fc.asyncProperty(fc.record(fields, { requiredKeys: [] }), async (config) => {
      try {
        new EventLoop(config as EventLoopConfig).close()
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        t.true(error instanceof TypeError || error instanceof RangeError, String(error))
        t.regex(
          String(code),
          /^ERR_(INVALID_ARG_TYPE|INVALID_ARG_VALUE|OUT_OF_RANGE)$/,
          String(error),
        )
      }
    }),
    { numRuns: 300 },
  )
})

test('any configuration within the limits makes a loop that works', async (t) => {
  const number = (name: keyof typeof LIMITS, max?: number) =>
    fc.integer({ min: LIMITS[name][0], max: max ?? LIMITS[name][1] })
  await fc.assert(
    fc.asyncProperty(
      fc.record(
        {
          notifyCapacity: number('notifyCapacity'),
          messagesPerTick: number('messagesPerTick'),
          timerTickMs: number('timerTickMs', 20),
          timerCapacity: number('timerCapacity'),
          eventCapacity: number('eventCapacity', 100),
          spinUs: number('spinUs', 2000),
          driver: fc.constantFrom('thread' as const, 'embedded' as const),
        },
        { requiredKeys: [] },
      ),
      (config) => works(t, config),
    ),
    { numRuns: 40 },
  )
})

eachDriver('eventCapacity is rounded up to a power of two', (t, { open }) => {
  const capacityOf = (eventCapacity?: number) =>
    open(eventCapacity === undefined ? {} : { eventCapacity }).metrics().ring.capacity
  t.is(capacityOf(), 8192)
  t.is(capacityOf(16), 16)
  t.is(capacityOf(17), 32)
  t.is(capacityOf(1000), 1024)
})
