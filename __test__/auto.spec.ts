/** The driver `auto`: the loop goes from thread to thread, and nobody notices. */

import { once } from 'node:events'
import { connect as connectNet } from 'node:net'

import type { ExecutionContext } from 'ava'
import { EventLoop, type EventLoopConfig, TcpServer } from 'miolo'

import { calm } from './support/calm.ts'
import { compute } from './support/compute.ts'
import { within } from './support/deadline.ts'
import { onUnix } from './support/platform.ts'
import { areInOrder, journal } from './support/servers.ts'

/** A loop that is closed with the test. */
function open<T, M>(t: ExecutionContext, config?: EventLoopConfig): EventLoop<T, M> {
  const loop = new EventLoop<T, M>(config)
  t.teardown(() => loop.close())
  return loop
}

/** Has JavaScript compute while another client has something for the loop. */
function isRelieved(title: string, config?: EventLoopConfig): void {
  onUnix(title, async (t) => {
    await within(t.title, async () => {
      const loop = open(t, config)
      t.is(loop.metrics().turner, 'js')
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
}

isRelieved('a busy JS thread is relieved, and gets the loop back when it is not', {
  driver: 'auto',
})

isRelieved('so it is where the loop was not told who turns it')

/** As many switches as are to be seen; each way counts. */
const HANDOVERS = 20
/** Messages and timeouts of a round. */
const ROUND = 200

onUnix('switching at random under load loses, doubles and reorders nothing', async (t) => {
  await within(t.title, async () => {
    const loop = open<number, number>(t, { driver: 'auto' })
    const log = journal({
      data(conn, chunk) {
        if (!conn.write(chunk)) conn.pause()
        if (Math.random() < 0.02) compute(2 + Math.random() * 8)
      },
      drain: (conn) => conn.resume(),
    })
    const server = new TcpServer(loop, log.handler)
    const { port } = server.listen('127.0.0.1:0')
    const sender = loop.channel()
    const messages: number[] = []
    const timeouts: number[] = []
    let look = () => {}
    const run = loop.run({
      notify(_, message) {
        messages.push(message)
        if (message % 100 === 0) compute(5)
      },
      timeout: (_, timeout) => void timeouts.push(timeout),
      tick: () => look(),
    })
    // Some talk for long, and all the while others come and go.
    const talks = Array.from({ length: 8 }, (_, index) => talk(t, port, index, 512 * 1024))
    const numbers: number[] = []
    const allCome = () =>
      new Promise<void>((resolve) => {
        look = () => {
          if (Math.min(messages.length, timeouts.length) >= numbers.length) resolve()
        }
        look()
      })
    for (let rounds = 0; rounds < 5 || loop.metrics().handovers < HANDOVERS; rounds++) {
      for (let index = 0; index < ROUND; index++) {
        const number = numbers.push(numbers.length) - 1
        sender.send(number)
        // Not one is due before one that was set before it.
        loop.timeoutMs(number, index / 4)
        if (index % 25 === 0) talks.push(talk(t, port, number, 4 * index))
        if (index % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await allCome()
    }
    await Promise.all(talks)
    t.deepEqual(messages, numbers)
    t.deepEqual(timeouts, numbers)
    t.deepEqual(
      Object.keys(await server.close()).filter((reason) => reason !== 'end'),
      [],
    )
    t.is(log.lives.length, talks.length)
    areInOrder(t, log.lives)
    for (const { reason } of log.lives) t.is(reason, 'end')
    loop.shutdown()
    await run
  })
})

/** Sends numbers, and checks that the same come back. */
async function talk(t: ExecutionContext, port: number, first: number, size: number): Promise<void> {
  const socket = connectNet(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const sent = Buffer.alloc(size)
  for (let index = 0; index < sent.length / 4; index++) sent.writeUInt32LE(first + index, index * 4)
  socket.end(sent)
  t.true(sent.equals(Buffer.concat(await socket.toArray())))
}

onUnix('a run that ends while the JS thread is relieved can be run again', async (t) => {
  await within(t.title, async () => {
    const loop = open<number, never>(t, { driver: 'auto' })
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
