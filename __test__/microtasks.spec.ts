/** When the reactions of promises run: between turns, never between two callbacks of a batch. */

import { eachDriver } from './support/drivers.ts'

eachDriver('no promise goes on between two callbacks of a batch', async (t, { open }) => {
  const loop = open<unknown, number>()
  const seen: string[] = []
  for (let message = 0; message < 5; message++) loop.channel().send(message)
  await loop.run({
    notify(_, message) {
      seen.push(`notify ${message}`)
      queueMicrotask(() => seen.push(`microtask ${message}`))
      void Promise.resolve().then(() => seen.push(`promise ${message}`))
      process.nextTick(() => seen.push(`nextTick ${message}`))
    },
    tick(loop) {
      seen.push('tick')
      loop.shutdown()
    },
  })
  const batch = seen.slice(0, 6)
  t.deepEqual(batch, ['notify 0', 'notify 1', 'notify 2', 'notify 3', 'notify 4', 'tick'])
  await new Promise((resolve) => setImmediate(resolve))
  t.is(seen.length, 21, 'and then they all do')
})

eachDriver('promises go on before the loop sleeps', async (t, { open }) => {
  const loop = open<string, string>()
  loop.channel().send('m')
  const seen: string[] = []
  await loop.run({
    notify(loop, message) {
      seen.push(message)
      if (message !== 'm') return
      void Promise.resolve()
        .then(() => loop.channel().send('from a promise'))
        .then(() => loop.timeoutMs('from another', 0))
    },
    timeout(loop, timeout) {
      seen.push(timeout)
      loop.shutdown()
    },
  })
  t.deepEqual(seen, ['m', 'from a promise', 'from another'])
})

eachDriver('promises go on when a doorbell has woken the loop', async (t, { open }) => {
  const loop = open<number>()
  loop.timeoutMs(1, 5)
  const seen: string[] = []
  await loop.run({
    timeout(loop, timeout) {
      seen.push(`timeout ${timeout}`)
      void Promise.resolve().then(() => {
        seen.push(`promise ${timeout}`)
        if (timeout === 5) loop.shutdown()
        else loop.timeoutMs(timeout + 1, 5)
      })
    },
  })
  const expected = [1, 2, 3, 4, 5].flatMap((each) => [`timeout ${each}`, `promise ${each}`])
  t.deepEqual(seen, expected)
})

eachDriver('run resolves after the reactions that its last batch queued', async (t, { open }) => {
  const loop = open<unknown, string>()
  loop.channel().send('m')
  const seen: string[] = []
  await loop.run({
    notify(loop) {
      void Promise.resolve().then(() => seen.push('reaction'))
      loop.shutdown()
    },
  })
  seen.push('run has resolved')
  t.deepEqual(seen, ['reaction', 'run has resolved'])
})

eachDriver('a thousand awaits in callbacks all go on', async (t, { open }) => {
  const loop = open<unknown, number>()
  const sender = loop.channel()
  let done = 0
  sender.send(0)
  await loop.run({
    async notify(loop, message) {
      if (message < 999) sender.send(message + 1)
      await null
      await new Promise((resolve) => setImmediate(resolve))
      if (++done === 1000) loop.shutdown()
    },
  })
  t.is(done, 1000)
})
