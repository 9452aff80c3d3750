/** Several loops in one thread, each of which may do to the others what it likes. */

import { type EventLoop, type Handler, NotifyError, Sender } from 'miolo'

import { compute } from './support/compute.ts'
import { drivers, eachDriver } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'

eachDriver('a callback of one loop ends another', async (t, { open }) => {
  const one = open<string>()
  const other = open<string>()
  const third = open<string>()
  one.timeoutMs('t', 5)
  await Promise.all([
    one.run({
      timeout(one) {
        other.shutdown()
        third.close()
        one.shutdown()
      },
    }),
    other.run({}),
    third.run({}),
  ])
  t.false(other.isRunning())
  t.false(third.isRunning())
})

eachDriver('a loop that is in the middle of a batch is closed by another', async (t, { open }) => {
  const long = open<unknown, number>({ messagesPerTick: 1000 })
  const other = open<string>()
  for (let message = 0; message < 1000; message++) long.channel().send(message)
  other.timeoutMs('t', 20)
  const seen: number[] = []
  let ticks = 0
  await Promise.all([
    long.run({
      notify(_, message) {
        seen.push(message)
        // A second in all: it has to let the other have its turn.
        compute(1)
      },
      tick: () => void ticks++,
    }),
    other.run({
      timeout(other) {
        long.close()
        other.shutdown()
      },
    }),
  ])
  t.true(seen.length > 0 && seen.length < 1000, `${seen.length}`)
  t.is(ticks, 0)
})

eachDriver(
  'loops send to each other, by themselves and by what they share',
  async (t, { open }) => {
    const rounds = 500
    const loops = [open<unknown, number>(), open<unknown, number>(), open<unknown, number>()]
    const next = (index: number) => loops[(index + 1) % loops.length] as EventLoop<unknown, number>
    const senders = loops.map((_, index) =>
      index === 0 ? Sender.from<number>(next(index).channel().share()) : next(index).channel(),
    )
    const seen: number[] = []
    const handlers = loops.map((_, index): Handler<unknown, number> => ({
      notify(_, message) {
        seen.push(message)
        if (message < rounds) senders[index]?.send(message + 1)
        else for (const each of loops) each.shutdown()
      },
    }))
    loops[0]?.channel().send(1)
    await Promise.all(
      loops.map((loop, index) => loop.run(handlers[index] as Handler<unknown, number>)),
    )
    t.deepEqual(
      seen,
      Array.from({ length: rounds }, (_, index) => index + 1),
    )
  },
)

eachDriver('a Sender in a callback of a loop that closes itself', async (t, { open }) => {
  const one = open<unknown, string>()
  const other = open<string>()
  const sender = one.channel()
  const run = one.run({ notify: (one) => one.close() })
  other.timeoutMs('t', 0)
  sender.send('close')
  await run
  await other.run({
    timeout(other) {
      throwsCode(t, () => sender.send('late'), 'ERR_MIOLO_NOTIFY_CLOSED', NotifyError)
      other.shutdown()
    },
  })
})

eachDriver('loops of all drivers side by side', async (t, { open }) => {
  const loops = [...drivers, ...drivers].map((driver) => open<number, number>({ driver }))
  const done = await Promise.all(
    loops.map(async (loop) => {
      let calls = 0
      loop.timeoutMs(0, 1)
      loop.channel().send(0)
      const again = () => {
        if (++calls === 200) loop.shutdown()
      }
      await loop.run({
        timeout(loop, timeout) {
          loop.timeoutMs(timeout, calls % 2)
          again()
        },
        notify(loop, message) {
          loop.channel().send(message)
          again()
        },
      })
      return calls >= 200
    }),
  )
  t.true(done.every(Boolean))
})

eachDriver('hundreds of loops are made, run and closed', async (t, { open }) => {
  let timeouts = 0
  for (let round = 0; round < 300; round++) {
    const loop = open<number>({ eventCapacity: 16 })
    loop.timeoutMs(round, 0)
    await loop.run({
      timeout(loop) {
        timeouts++
        if (round % 2 === 0) loop.close()
        else loop.shutdown()
      },
    })
    if (round % 3 === 0) loop.close()
  }
  t.is(timeouts, 300)
})
