/** Timeouts: never early, in order, cleared for good, and no more than the capacity. */

import { performance } from 'node:perf_hooks'

import fc from 'fast-check'
import { type EventLoop, type TimeoutHandle, TimerError } from 'miolo'

import { collect } from './support/collect.ts'
import { compute } from './support/compute.ts'
import { eachDriver, eachWay } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'

eachWay('no timeout is early', async (t, { open, run }) => {
  const loop = open<{ due: number }>()
  const count = 300
  let delivered = 0
  let earliest = Infinity
  for (let index = 0; index < count; index++) {
    const delay = ((index * 7919) % 60) + (index % 10) / 10
    const due = performance.now() + delay
    loop.timeoutMs({ due }, delay)
  }
  await run(loop, {
    timeout(loop, { due }) {
      earliest = Math.min(earliest, performance.now() - due)
      if (++delivered === count) loop.shutdown()
    },
  })
  t.true(earliest >= 0, `${earliest} ms`)
})

eachWay('no timeout that is set in a callback is early', async (t, { open, run }) => {
  const loop = open<number>()
  let delivered = 0
  let earliest = Infinity
  loop.timeoutMs(performance.now(), 0)
  await run(loop, {
    timeout(loop, due) {
      earliest = Math.min(earliest, performance.now() - due)
      if (++delivered === 200) return loop.shutdown()
      const delay = (delivered % 7) / 2
      loop.timeoutMs(performance.now() + delay, delay)
    },
  })
  t.true(earliest >= 0, `${earliest} ms`)
})

/** Timeouts that were set one after the other, and when each can be due at the earliest and at the latest. */
interface Set {
  index: number
  delay: number
  from: number
  to: number
}

/** Whether `a`, set before or after `b`, has to come before it. */
function comesBefore(a: Set, b: Set, tick: number): boolean {
  if (a.index < b.index && a.delay <= b.delay) return true
  return a.to + tick < b.from
}

eachWay(
  'timeouts come by deadline, and where it is the same in the order set',
  async (t, stage) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.constantFrom(0, 1, 5), fc.integer({ min: 0, max: 12 })), {
          minLength: 1,
          maxLength: 80,
        }),
        async (delays) => {
          using loop = stage.open<Set>()
          for (const [index, delay] of delays.entries()) {
            const set = { index, delay, from: performance.now() + delay, to: 0 }
            loop.timeoutMs(set, delay)
            set.to = performance.now() + delay
          }
          const order: Set[] = []
          await stage.run(loop, {
            timeout(loop, set) {
              order.push(set)
              if (order.length === delays.length) loop.shutdown()
            },
          })
          for (const [place, later] of order.entries()) {
            for (const earlier of order.slice(0, place)) {
              if (comesBefore(later, earlier, 1)) {
                t.fail(`${JSON.stringify(earlier)} came before ${JSON.stringify(later)}`)
              }
            }
          }
        },
      ),
      { numRuns: 15 },
    )
    t.pass()
  },
)

eachWay(
  'all that are due come in one batch, oldest deadline first',
  async (t, { open, run, way }) => {
    const loop = open<number>()
    const count = 100
    for (let index = 0; index < count; index++) loop.timeoutMs(index, 2)
    compute(4)
    const { handler, calls } = collect<number>({
      timeout: (loop, timeout) => {
        if (timeout === count - 1) loop.shutdown()
      },
    })
    await run(loop, handler)
    const order = calls.filter(([name]) => name === 'timeout').map(([, timeout]) => timeout)
    t.deepEqual(
      order,
      Array.from({ length: count }, (_, index) => index),
    )
    if (way === 'runSync') t.is(calls.length, count + 1)
  },
)

eachWay('a timeout set for now in a timeout comes in a later batch', async (t, { open, run }) => {
  const loop = open<number>()
  const { handler, names } = collect<number>({
    timeout(loop, timeout) {
      if (timeout === 3) loop.shutdown()
      else loop.timeoutMs(timeout + 1, 0)
    },
  })
  loop.timeoutMs(1, 0)
  await run(loop, handler)
  t.deepEqual(names(), ['timeout', 'tick', 'timeout', 'tick', 'timeout', 'tick'])
})

eachWay('a payload is delivered by reference, whatever it is', async (t, { open, run }) => {
  const loop = open()
  const payloads = [undefined, null, 0, NaN, '', Symbol('s'), 1n, {}, [], () => {}, new Map(), loop]
  for (const payload of payloads) loop.timeoutMs(payload, 0)
  const delivered: unknown[] = []
  await run(loop, {
    timeout(loop, timeout) {
      delivered.push(timeout)
      if (delivered.length === payloads.length) loop.shutdown()
    },
  })
  for (const [index, payload] of payloads.entries()) t.is(delivered[index], payload)
})

// Clearing

eachWay('a cleared timeout is not delivered', async (t, { open, run }) => {
  const loop = open<string>()
  const handle = loop.timeoutMs('cleared', 1)
  loop.timeoutMs('last', 10)
  t.true(loop.clearTimeout(handle))
  t.false(loop.clearTimeout(handle), 'a second time')
  const { handler, calls } = collect<string>({ timeout: (loop) => loop.shutdown() })
  await run(loop, handler)
  t.deepEqual(calls, [['timeout', 'last'], ['tick']])
})

eachWay('a timeout that is due, and on its way, can still be cleared', async (t, { open, run }) => {
  const loop = open<string, string>()
  loop.channel().send('first')
  const handles = ['a', 'b', 'c'].map((name) => loop.timeoutMs(name, 0))
  loop.timeoutMs('last', 5)
  compute(3)
  const { handler, calls } = collect<string, string>({
    timeout(loop, timeout) {
      if (timeout === 'last') return loop.shutdown()
      t.is(timeout, 'a', 'the first clears the others')
      t.false(loop.clearTimeout(handles[0] as TimeoutHandle), 'which is being delivered')
      compute(3)
      t.true(loop.clearTimeout(handles[1] as TimeoutHandle))
      t.true(loop.clearTimeout(handles[2] as TimeoutHandle))
    },
  })
  await run(loop, handler)
  const delivered = calls.filter(([name]) => name === 'timeout').map(([, timeout]) => timeout)
  t.deepEqual(delivered, ['a', 'last'])
})

eachWay('a message can clear a timeout that is due', async (t, { open, run }) => {
  const loop = open<string, string>()
  const handle = loop.timeoutMs('t', 1000)
  loop.channel().send('m')
  let isCleared = false
  const { handler, names } = collect<string, string>({
    notify(loop) {
      isCleared = loop.clearTimeout(handle)
      loop.timeoutMs('last', 5)
    },
    timeout: (loop) => loop.shutdown(),
  })
  await run(loop, handler)
  t.true(isCleared)
  t.deepEqual(names(), ['notify', 'tick', 'timeout', 'tick'])
})

eachWay('clearTimeout tells exactly whether the timeout will be delivered', async (t, stage) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ delay: fc.integer({ min: 0, max: 6 }), clears: fc.nat(99) }), {
        minLength: 5,
        maxLength: 60,
      }),
      async (plan) => {
        using loop = stage.open<number>()
        const handles = plan.map(({ delay }, index) => loop.timeoutMs(index, delay))
        const fate = new Map<number, 'delivered' | 'cleared'>()
        await stage.run(loop, {
          timeout(loop, index) {
            if (index === -1) return loop.shutdown()
            t.false(fate.has(index), 'delivered though it was cleared, or twice')
            fate.set(index, 'delivered')
            const victim = (plan[index] as { clears: number }).clears % plan.length
            const isCleared = loop.clearTimeout(handles[victim] as TimeoutHandle)
            t.is(isCleared, !fate.has(victim))
            if (isCleared) fate.set(victim, 'cleared')
            if (fate.size === plan.length) loop.timeoutMs(-1, 3)
          },
        })
        t.is(fate.size, plan.length)
      },
    ),
    { numRuns: 12 },
  )
})

eachWay('an old handle never cancels another timeout', async (t, { open, run }) => {
  const loop = open<number>({ timerCapacity: 2 })
  const old: TimeoutHandle[] = []
  const count = 3000
  for (let round = 0; round < count; round++) {
    const handle = loop.timeoutMs(round, 1_000_000)
    t.true(loop.clearTimeout(handle))
    old.push(handle)
  }
  t.is(new Set(old).size, count, 'handles are never the same')
  loop.timeoutMs(-1, 0)
  loop.timeoutMs(-2, 1)
  t.is(old.filter((handle) => loop.clearTimeout(handle)).length, 0)
  const { handler, calls } = collect<number>({
    timeout: (loop, timeout) => {
      t.is(old.filter((handle) => loop.clearTimeout(handle)).length, 0)
      if (timeout === -2) loop.shutdown()
    },
  })
  await run(loop, handler)
  t.deepEqual(
    calls.filter(([name]) => name === 'timeout'),
    [
      ['timeout', -1],
      ['timeout', -2],
    ],
  )
})

eachDriver('a handle of another loop clears nothing here', (t, { open }) => {
  const loops = Array.from({ length: 20 }, () => open<string>({ timerCapacity: 100 }))
  // Each slot in use, and each a different number of times so far.
  const handles = loops.map((loop, index) => {
    for (let round = 0; round < index * 100; round++) loop.clearTimeout(loop.timeoutMs('on', 1000))
    return Array.from({ length: 100 }, () => loop.timeoutMs('mine', 1000))
  })
  for (const [index, loop] of loops.entries()) {
    const others = handles.filter((_, other) => other !== index).flat()
    t.is(others.filter((handle) => loop.clearTimeout(handle)).length, 0)
  }
  for (const [index, loop] of loops.entries()) {
    t.true((handles[index] as TimeoutHandle[]).every((handle) => loop.clearTimeout(handle)))
  }
})

eachDriver('a number that is no handle clears nothing', (t, { open }) => {
  const loop = open<string>()
  const handle = loop.timeoutMs('t', 1000)
  const span = 2 ** 53
  for (const wrong of [
    handle + span,
    handle - span,
    -handle,
    handle + 0.5,
    NaN,
    Infinity,
    -Infinity,
  ]) {
    // So large a number may take up half of one without a change.
    if (wrong !== handle) t.false(loop.clearTimeout(wrong as TimeoutHandle), `${wrong}`)
  }
  t.true(loop.clearTimeout(handle))
})

eachWay(
  'a message sent before a timeout was set comes before it, whoever else is due',
  async (t, { open, run }) => {
    const loop = open<string, string>()
    loop.timeoutMs('other', 60)
    loop.channel().send('first')
    const order: string[] = []
    await run(loop, {
      notify(loop, message) {
        order.push(message)
        if (message !== 'first') return
        loop.channel().send('second')
        loop.timeoutMs('timeout', 1)
        // The loop calls for the other meanwhile, where it has a thread of its own.
        compute(100)
      },
      timeout: (_, word) => void order.push(word),
      tick(loop) {
        if (order.length === 4) loop.shutdown()
      },
    })
    // On a busy machine the other may be due before all of them.
    const own = order.filter((each) => each !== 'other')
    t.deepEqual(own, ['first', 'second', 'timeout'])
  },
)

// Capacity

eachWay('the capacity is exact', async (t, { open, run }) => {
  const loop = open<number>({ timerCapacity: 3 })
  for (const each of [0, 1, 2]) loop.timeoutMs(each, 0)
  const full = () => loop.timeoutMs(3, 0)
  const error = throwsCode(t, full, 'ERR_MIOLO_TIMER_OVERFLOW', TimerError)
  t.is(error.name, 'TimerError')
  throwsCode(t, full, 'ERR_MIOLO_TIMER_OVERFLOW', TimerError)
  const delivered: number[] = []
  await run(loop, {
    timeout(loop, timeout) {
      delivered.push(timeout)
      // This one is no longer set, so there is room for exactly one more.
      if (timeout < 30) {
        loop.timeoutMs(timeout + 3, 0)
        throwsCode(t, full, 'ERR_MIOLO_TIMER_OVERFLOW', TimerError)
      }
      if (delivered.length === 33) loop.shutdown()
    },
  })
  t.is(delivered.length, 33)
})

eachWay('clearing makes room at once', async (t, { open, run }) => {
  const loop = open<number>({ timerCapacity: 1 })
  for (let round = 0; round < 500; round++) loop.clearTimeout(loop.timeoutMs(round, round % 3))
  loop.timeoutMs(-1, 0)
  const { handler, calls } = collect<number>({ timeout: (loop) => loop.shutdown() })
  await run(loop, handler)
  t.deepEqual(calls, [['timeout', -1], ['tick']])
})

eachWay('clearing what is due and setting anew never overflows', async (t, { open, run }) => {
  const loop = open<number>({ timerCapacity: 4 })
  const handles: TimeoutHandle[] = []
  const fill = () => {
    for (let each = 0; each < 4; each++) handles[each] = loop.timeoutMs(each, each % 2)
  }
  fill()
  let rounds = 0
  await run(loop, {
    timeout(loop, timeout) {
      if (++rounds === 200) return loop.shutdown()
      for (const handle of handles) loop.clearTimeout(handle)
      compute(0.2)
      fill()
      t.true(timeout < 4)
    },
  })
  t.true(rounds >= 200)
})

// Long and coarse

eachWay('delays up to 2^53 hold', async (t, { open, run }) => {
  const loop = open<string>()
  const handles = [2 ** 53, 2 ** 53 - 1, 2 ** 32, 2 ** 31, 2 ** 31 - 1, 2 ** 40 + 0.5].map(
    (delay) => loop.timeoutMs('far', delay),
  )
  loop.timeoutMs('near', 10)
  const { handler, calls } = collect<string>({ timeout: (loop) => loop.shutdown() })
  await run(loop, handler)
  t.deepEqual(calls, [['timeout', 'near'], ['tick']])
  for (const handle of handles) t.true(loop.clearTimeout(handle))
})

eachWay(
  'timeouts that the loop learns of too late come by deadline, too',
  async (t, { open, run }) => {
    const loop = open<number>()
    for (const delay of [0, 5, 10, 15]) loop.timeoutMs(delay, delay)
    const order: number[] = []
    await run(loop, {
      timeout(loop, delay) {
        order.push(delay)
        if (delay === 40) loop.shutdown()
        if (delay !== 0) return
        loop.timeoutMs(40, 40)
        for (const delay of [12, 8, 4]) loop.timeoutMs(delay, delay)
        // The loop goes on meanwhile, where it has a thread of its own.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30)
      },
    })
    t.deepEqual(
      order.filter((delay) => delay % 4 === 0),
      [0, 4, 8, 12, 40],
    )
  },
)

eachWay('timerTickMs rounds deadlines up', async (t, { open, run }) => {
  const TICK = 200
  // So that they come in the order set wherever they are rounded to the same tick, and not by delay.
  const delays = [TICK + 24, 24, TICK + 1, 1, TICK + 10, 10]
  for (;;) {
    // The loop's first tick is here at the earliest, as its clock begins when it is made.
    const opened = performance.now()
    const loop = open<number>({ timerTickMs: TICK })
    for (const delay of delays) loop.timeoutMs(delay, delay)
    // On a busy machine some may be set too late to be due at the same tick as the others.
    if (performance.now() - opened > TICK / 4) continue
    const { handler, calls } = collect<number>({
      timeout(loop, delay) {
        const tick = delay < TICK ? TICK : 2 * TICK
        t.true(performance.now() >= opened + tick, `${delay}`)
        if (delay === TICK + 10) loop.shutdown()
      },
    })
    await run(loop, handler)
    const told = calls.map(([name, delay]) => (name === 'timeout' ? delay : name))
    const [first, second] = [
      [24, 1, 10],
      [TICK + 24, TICK + 1, TICK + 10],
    ]
    // One that is called late enough finds both ticks past.
    if (told.length === 7) t.deepEqual(told, [...first, ...second, 'tick'])
    else t.deepEqual(told, [...first, 'tick', ...second, 'tick'])
    return
  }
})

eachWay('a hundred thousand timeouts, half of them cleared', async (t, { open, run }) => {
  const count = 100_000
  const loop = open<number>({ timerCapacity: count })
  const handles: TimeoutHandle[] = []
  for (let index = 0; index < count; index++) {
    handles.push(loop.timeoutMs(index, (index * 31) % 50))
  }
  throwsCode(t, () => loop.timeoutMs(-1, 0), 'ERR_MIOLO_TIMER_OVERFLOW', TimerError)
  let cleared = 0
  for (let index = 0; index < count; index += 2) {
    if (loop.clearTimeout(handles[index] as TimeoutHandle)) cleared++
  }
  t.is(cleared, count / 2)
  const seen = new Uint8Array(count)
  let delivered = 0
  let wrong = 0
  await run(loop, {
    timeout(loop, index) {
      if (index % 2 === 0 || seen[index] === 1) wrong++
      seen[index] = 1
      if (++delivered === count / 2) loop.shutdown()
    },
  })
  t.is(wrong, 0)
})

eachDriver('an idle loop with a far timeout does not turn', async (t, { open }) => {
  const loop: EventLoop<string> = open<string>()
  loop.timeoutMs('far', 1_000_000)
  const run = loop.run({})
  await new Promise((resolve) => setTimeout(resolve, 20))
  const before = loop.metrics().iterations
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.true(loop.metrics().iterations - before <= 1)
  loop.shutdown()
  await run
})

eachDriver('timeouts that nobody asks for make room all the same', async (t, { open }) => {
  const loop = open<number>({ timerCapacity: 4 })
  const run = loop.run({})
  for (let round = 0; round < 3; round++) {
    for (let timeout = 0; timeout < 4; timeout++) loop.timeoutMs(timeout, 0)
    const seen = loop.metrics().events.timeout
    while (loop.metrics().events.timeout < seen + 4 || loop.metrics().ring.depth > 0) {
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }
  t.notThrows(() => loop.timeoutMs(0, 0))
  loop.shutdown()
  await run
})
