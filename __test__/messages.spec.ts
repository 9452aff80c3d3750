/** Messages within one thread: by reference, in order, and never more than the capacity. */

import { NotifyError } from 'miolo'

import { collect } from './support/collect.ts'
import { eachDriver, eachWay } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'

eachWay('a message is passed by reference, whatever it is', async (t, { open, run }) => {
  const loop = open()
  const messages = [
    undefined,
    null,
    0,
    -0,
    NaN,
    '',
    Symbol('s'),
    1n,
    {},
    [],
    () => {},
    new Map(),
    loop,
  ]
  for (const message of messages) loop.channel().send(message)
  const received: unknown[] = []
  await run(loop, {
    notify(loop, message) {
      received.push(message)
      if (received.length === messages.length) loop.shutdown()
    },
  })
  for (const [index, message] of messages.entries()) t.is(received[index], message)
})

eachWay('messages arrive in the order sent, whichever Sender sends', async (t, { open, run }) => {
  const loop = open<unknown, number>({ notifyCapacity: 10_000 })
  const senders = Array.from({ length: 5 }, () => loop.channel())
  const count = 10_000
  for (let message = 0; message < count; message++) senders[message % 5]?.send(message)
  let next = 0
  let wrong = 0
  await run(loop, {
    notify(loop, message) {
      if (message !== next++) wrong++
      if (next === count) loop.shutdown()
    },
  })
  t.is(wrong, 0)
})

eachWay('messagesPerTick is the most of one batch, exactly', async (t, { open, run }) => {
  const loop = open<unknown, number>({ messagesPerTick: 4 })
  for (let message = 0; message < 10; message++) loop.channel().send(message)
  const { handler, names } = collect<unknown, number>({
    notify: (loop, message) => {
      if (message === 9) loop.shutdown()
    },
  })
  await run(loop, handler)
  const sizes = names()
    .join(' ')
    .split(' tick')
    .map((batch) => batch.split('notify').length - 1)
  t.deepEqual(sizes, [4, 4, 2, 0])
})

eachWay('what is sent in a batch comes in the next', async (t, { open, run }) => {
  const loop = open<unknown, number>()
  const sender = loop.channel()
  const { handler, names } = collect<unknown, number>({
    notify(loop, message) {
      if (message === 4) loop.shutdown()
      else if (message > 0) sender.send(message + 1)
    },
  })
  for (const message of [0, 1, 0]) sender.send(message)
  await run(loop, handler)
  const expected = ['notify', 'notify', 'notify', 'tick']
  for (let batch = 0; batch < 3; batch++) expected.push('notify', 'tick')
  t.deepEqual(names(), expected)
})

eachWay('messages wait for the next run, in any number', async (t, { open, run }) => {
  const loop = open<unknown, number>()
  for (let round = 0; round < 20; round++) {
    for (let message = 0; message <= round; message++) loop.channel().send(message)
    const { handler, calls } = collect<unknown, number>({
      notify: (loop, message) => {
        if (message === round) loop.shutdown()
      },
    })
    await run(loop, handler)
    t.is(calls.filter(([name]) => name === 'notify').length, round + 1)
  }
})

// Capacity

eachDriver('the capacity is exact, and Full gives the message back', (t, { open }) => {
  const loop = open<unknown, object>({ notifyCapacity: 3 })
  const sender = loop.channel()
  for (let each = 0; each < 3; each++) sender.send({})
  const message = {}
  for (const again of [sender, loop.channel()]) {
    const error = throwsCode(t, () => again.send(message), 'ERR_MIOLO_NOTIFY_FULL', NotifyError)
    t.is((error as unknown as NotifyError).rejected, message)
    t.is(error.name, 'NotifyError')
  }
})

for (const capacity of [1, 2, 3, 7, 256, 300]) {
  eachWay(
    `a capacity of ${capacity} is refilled from inside notify, to the last place`,
    async (t, stage) => {
      const loop = stage.open<unknown, number>({ notifyCapacity: capacity })
      const sender = loop.channel()
      const isFull = () => {
        try {
          sender.send(-1)
          return false
        } catch (error) {
          return (error as NotifyError).code === 'ERR_MIOLO_NOTIFY_FULL'
        }
      }
      let sent = 0
      while (sent < capacity) sender.send(sent++)
      t.true(isFull())
      const total = capacity * 4
      let received = 0
      await stage.run(loop, {
        notify(loop, message) {
          if (message !== received++) t.fail(`${message}`)
          // The one that is being delivered has left a place, and only that.
          if (sent < total) {
            sender.send(sent++)
            if (!isFull()) t.fail('not full')
          }
          if (received === total) loop.shutdown()
        },
      })
      t.is(received, total)
      for (let each = 0; each < capacity; each++) sender.send(0)
      t.true(isFull())
    },
  )
}

eachWay(
  'a callback that throws has used up its message, and no other',
  async (t, { open, run }) => {
    const loop = open<unknown, number>({ notifyCapacity: 2 })
    const sender = loop.channel()
    sender.send(1)
    sender.send(2)
    const failing = async () =>
      run(loop, {
        notify() {
          throw new Error('on purpose')
        },
      })
    await t.throwsAsync(failing)
    sender.send(3)
    throwsCode(t, () => sender.send(4), 'ERR_MIOLO_NOTIFY_FULL', NotifyError)
    const { handler, calls } = collect<unknown, number>({
      notify: (loop, message) => {
        if (message === 3) loop.shutdown()
      },
    })
    await run(loop, handler)
    t.deepEqual(
      calls.filter(([name]) => name === 'notify').map(([, message]) => message),
      [2, 3],
    )
  },
)

// Closed

eachDriver('after close a send is Closed, and gives the message back', (t, { open }) => {
  const loop = open<unknown, object>({ notifyCapacity: 2 })
  const sender = loop.channel()
  sender.send({})
  loop.close()
  const message = {}
  for (let again = 0; again < 3; again++) {
    const error = throwsCode(t, () => sender.send(message), 'ERR_MIOLO_NOTIFY_CLOSED', NotifyError)
    t.is((error as unknown as NotifyError).rejected, message)
  }
})

eachDriver('a full channel that is closed is Closed', (t, { open }) => {
  const loop = open<unknown, number>({ notifyCapacity: 1 })
  const sender = loop.channel()
  sender.send(1)
  loop.close()
  throwsCode(t, () => sender.send(2), 'ERR_MIOLO_NOTIFY_CLOSED', NotifyError)
})

eachWay(
  'close in notify drops the rest, and a send right after it is Closed',
  async (t, { open, run }) => {
    const loop = open<unknown, number>()
    const sender = loop.channel()
    for (const message of [1, 2, 3]) sender.send(message)
    const received: number[] = []
    await run(loop, {
      notify(loop, message) {
        received.push(message)
        loop.close()
        throwsCode(t, () => sender.send(4), 'ERR_MIOLO_NOTIFY_CLOSED', NotifyError)
      },
    })
    t.deepEqual(received, [1])
    throwsCode(t, () => sender.send(5), 'ERR_MIOLO_NOTIFY_CLOSED', NotifyError)
  },
)

eachWay('send in every kind of callback', async (t, { open, run }) => {
  const loop = open<string, string>()
  const sender = loop.channel()
  const received: string[] = []
  loop.interrupt()
  loop.timeoutMs('t', 1)
  await run(loop, {
    interrupted: () => sender.send('from interrupted'),
    timeout: () => sender.send('from timeout'),
    notify(_, message) {
      received.push(message)
      if (message === 'from timeout') sender.send('from notify')
    },
    tick(loop) {
      if (received.includes('from notify') && !received.includes('from tick'))
        sender.send('from tick')
      if (received.includes('from tick') && received.includes('from interrupted')) loop.shutdown()
    },
  })
  t.is(received.filter((message) => message === 'from interrupted').length, 1)
})
