/** The driver `auto`: the loop goes from thread to thread, and nobody notices. */

import { once } from 'node:events'
import { connect as connectNet } from 'node:net'

import type { ExecutionContext } from 'ava'
import { EventLoop, TcpServer } from 'miolo'

import { calm } from './support/calm.ts'
import { compute } from './support/compute.ts'
import { within } from './support/deadline.ts'
import { onUnix } from './support/unix.ts'

function open<T, M>(t: ExecutionContext): EventLoop<T, M> {
  const loop = new EventLoop<T, M>({ driver: 'auto' })
  t.teardown(() => loop.close())
  return loop
}

onUnix('it is what a loop gets that is not told otherwise', async (t) => {
  const loop = new EventLoop({})
  t.teardown(() => loop.close())
  t.is(loop.metrics().turner, 'js')
  const run = loop.run({})
  t.is(loop.metrics().turner, 'js')
  loop.shutdown()
  await run
})

onUnix('a busy JS thread is relieved, and gets the loop back when it is not', async (t) => {
  await within(t.title, async () => {
    const loop = open(t)
    let turnerMeanwhile = ''
    const server = new TcpServer(loop, {
      data(conn, chunk) {
        conn.write(chunk)
        if (chunk.toString() !== 'block') return
        // The bytes of another client, which the loop can see to, come in the meantime.
        other.write('other')
        const until = performance.now() + 10_000
        while (loop.metrics().turner === 'js' && performance.now() < until) compute(1)
        turnerMeanwhile = loop.metrics().turner
      },
    })
    const { port } = server.listen('127.0.0.1:0')
    const run = loop.run({})
    const [socket, other] = [connectNet(port, '127.0.0.1'), connectNet(port, '127.0.0.1')]
    t.teardown(() => [socket, other].forEach((each) => each.destroy()))
    await Promise.all([once(socket, 'connect'), once(other, 'connect')])
    // Both are accepted, and nothing is left to do.
    other.write('first')
    await once(other, 'data')
    socket.write('block')
    const answers = await Promise.all([once(socket, 'data'), once(other, 'data')])
    t.deepEqual(answers.map(String), ['block', 'other'])
    t.is(turnerMeanwhile, 'thread')
    await calm(loop)
    t.true(loop.metrics().handovers >= 2)
    loop.shutdown()
    await run
  })
})

onUnix('switching at random under load loses, doubles and reorders nothing', async (t) => {
  await within(t.title, async () => {
    const loop = open<number, number>(t)
    const server = new TcpServer(loop, {
      data(conn, chunk) {
        if (!conn.write(chunk)) conn.pause()
        if (Math.random() < 0.02) compute(2 + Math.random() * 8)
      },
      drain: (conn) => conn.resume(),
    })
    const { port } = server.listen('127.0.0.1:0')
    const sender = loop.channel()
    const messages: number[] = []
    const timeouts: number[] = []
    const run = loop.run({
      notify(_, message) {
        messages.push(message)
        if (message % 100 === 0) compute(5)
      },
      timeout: (_, timeout) => void timeouts.push(timeout),
    })
    const numbers = Array.from({ length: 1000 }, (_, index) => index)
    const talked = Promise.all(Array.from({ length: 8 }, (_, index) => talk(t, port, index)))
    for (const number of numbers) {
      sender.send(number)
      loop.timeoutMs(number, number / 4)
      if (number % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await talked
    while (timeouts.length < numbers.length || messages.length < numbers.length) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    t.deepEqual(messages, numbers)
    t.deepEqual(
      timeouts.toSorted((a, b) => a - b),
      numbers,
    )
    t.true(loop.metrics().handovers >= 2)
    t.deepEqual(
      Object.keys(await server.close()).filter((reason) => reason !== 'end'),
      [],
    )
    loop.shutdown()
    await run
  })
})

/** Sends numbers, and checks that the same come back. */
async function talk(t: ExecutionContext, port: number, first: number): Promise<void> {
  const socket = connectNet(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const sent = Buffer.alloc(512 * 1024)
  for (let index = 0; index < sent.length / 4; index++) sent.writeUInt32LE(first + index, index * 4)
  socket.end(sent)
  t.true(sent.equals(Buffer.concat(await socket.toArray())))
}

onUnix('a run that ends while the JS thread is relieved can be run again', async (t) => {
  await within(t.title, async () => {
    const loop = open<number, never>(t)
    for (let round = 0; round < 5; round++) {
      loop.timeoutMs(0, 0)
      loop.timeoutMs(1, 5)
      const came: number[] = []
      await loop.run({
        timeout(loop, timeout) {
          came.push(timeout)
          if (timeout === 0) compute(15)
          else loop.shutdown()
        },
      })
      t.deepEqual(came, [0, 1])
    }
  })
})
