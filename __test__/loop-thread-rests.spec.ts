/** While JavaScript has plenty to read, the loop thread is not woken for each event; and JavaScript never waits for it. */

import { EventSet, PollOpt, type TcpStream } from 'miolo'

import { onLoopThread, type RunStage } from './support/drivers.ts'
import { pair, say } from './support/sockets.ts'

/** More than keep JavaScript busy for a while. */
const COUNT = 20
/** The shortest of rests. */
const REST_MS = 0.096

/** Pairs, of which the loop watches the one end. */
async function watched(
  stage: RunStage,
  loop: ReturnType<RunStage['open']>,
): Promise<{ client: TcpStream; server: TcpStream }[]> {
  const pairs = []
  for (let token = 0; token < COUNT; token++) {
    const ends = await pair(stage)
    loop.register(ends.client, token, EventSet.readable(), PollOpt.edge())
    pairs.push(ends)
  }
  return pairs
}

onLoopThread('events that come while plenty is unread come together', async (t, stage) => {
  const loop = stage.open()
  const pairs = await watched(stage, loop)
  for (const { server } of pairs) say(server, 'x')
  const into = new Uint8Array(1024)
  let isFlooded = false
  let bytes = 0
  await stage.run(loop, {
    ready(loop, token) {
      const { client, server } = pairs[token] as (typeof pairs)[0]
      if (!isFlooded && loop.metrics().ring.depth > COUNT) {
        isFlooded = true
        const before = loop.metrics().iterations
        const started = performance.now()
        let sent = 0
        while (performance.now() - started < 200) {
          say(server, 'x')
          sent++
          // It is read here, so that each byte is news to the loop.
          bytes += client.read(into) ?? 0
        }
        const iterations = loop.metrics().iterations - before
        const most = (performance.now() - started) / REST_MS + 2
        t.true(iterations <= most, `${iterations} iterations for ${sent} bytes, ${most} at most`)
        // What comes meanwhile is seen all the same.
        say(server, 'y')
        return
      }
      const count = client.read(into) ?? 0
      bytes += count
      if (into.subarray(0, count).includes(0x79)) loop.shutdown()
      else if (!isFlooded) say(server, 'x')
    },
  })
  t.true(isFlooded)
  t.true(bytes > COUNT)
})

onLoopThread('JavaScript that has read all wakes it', async (t, stage) => {
  const loop = stage.open()
  const pairs = await watched(stage, loop)
  const into = new Uint8Array(16)
  let before = Number.POSITIVE_INFINITY
  let rounds = 0
  for (const { server } of pairs) say(server, 'x')
  await stage.run(loop, {
    ready(_, token) {
      pairs[token]?.client.read(into)
    },
    tick(loop) {
      const { toLoop } = loop.metrics().doorbells
      before = Math.min(before, toLoop)
      // It need not have come to rest by the time that all is read.
      if (toLoop > before) return loop.shutdown()
      rounds++
      for (const { server } of pairs) say(server, 'x')
    },
  })
  t.true(rounds > 0)
})
