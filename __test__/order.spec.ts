/** The order of an iteration: interrupted, ready…, notify…, timeout…, tick. */

import { type EventLoop, EventSet, PollOpt } from 'miolo'

import { collect } from './support/collect.ts'
import { compute } from './support/compute.ts'
import { eachSync, eachWay, type RunStage } from './support/drivers.ts'
import { pair } from './support/sockets.ts'

/** A batch by the first letters of its callbacks; tick is a dot. */
const BATCH = /^(?=[^.])i?r*n*t*\.$/

/** The batches of a list of callbacks, each up to its tick. */
function batches(names: string[]): string[] {
  const letters = names.map((name) => (name === 'tick' ? '.' : name[0])).join('')
  return letters.match(/[^.]*\.|[^.]+$/g) ?? []
}

/** Until a timeout of 0 ms, rounded up, is due. */
function untilDue() {
  compute(3)
}

/** Gives the loop one of everything to do. */
async function oneOfEverything(stage: RunStage, loop: EventLoop<string, string>) {
  const { client, server } = await pair(stage)
  server.write(Buffer.from('x'))
  loop.timeoutMs('timeout', 0)
  loop.register(client, 7, EventSet.readable(), PollOpt.edge())
  loop.channel().send('message')
  loop.interrupt()
}

eachWay('every batch keeps the order', async (t, stage) => {
  const loop = stage.open<string, string>()
  await oneOfEverything(stage, loop)
  const seen = new Set<string>()
  const { handler, names } = collect<string, string>({
    tick(loop) {
      for (const name of names()) seen.add(name)
      if (seen.size === 5) loop.shutdown()
    },
  })
  await stage.run(loop, handler)
  for (const batch of batches(names())) t.regex(batch, BATCH)
})

eachSync(
  'what waits when a loop is turned by its own thread comes in one batch',
  async (t, stage) => {
    const loop = stage.open<string, string>()
    await oneOfEverything(stage, loop)
    loop.timeoutMs('another', 0)
    loop.channel().send('another')
    untilDue()
    const { handler, calls } = collect<string, string>({ tick: (loop) => loop.shutdown() })
    await stage.run(loop, handler)
    t.deepEqual(calls, [
      ['interrupted'],
      ['ready', 7, 'Readable'],
      ['notify', 'message'],
      ['notify', 'another'],
      ['timeout', 'timeout'],
      ['timeout', 'another'],
      ['tick'],
    ])
  },
)

eachWay('under a flood every batch keeps the order and ends with a tick', async (t, stage) => {
  const loop = stage.open<number, number>({ messagesPerTick: 5 })
  const sender = loop.channel()
  const { client, server } = await pair(stage)
  loop.register(client, 1, EventSet.readable().union(EventSet.writable()), PollOpt.level())
  server.write(Buffer.from('never read'))
  let left = 400
  const more = () => {
    if (left-- > 0) return true
    loop.shutdown()
    return false
  }
  const { handler, names } = collect<number, number>({
    ready: () => {
      if (left % 7 === 0) loop.interrupt()
      more()
    },
    notify(loop, message) {
      if (!more()) return
      sender.send(message)
      if (message % 3 === 0) loop.timeoutMs(message, message % 2)
    },
    timeout: () => {
      more()
    },
  })
  for (let message = 0; message < 12; message++) sender.send(message)
  await stage.run(loop, handler)
  const found = batches(names())
  t.true(found.length > 10)
  for (const batch of found) {
    t.regex(batch, BATCH)
    t.true((batch.match(/n/g) ?? []).length <= 5, batch)
    t.true((batch.match(/r/g) ?? []).length <= 1, batch)
  }
})

eachWay('tick is not called when nothing came', async (t, { open, run }) => {
  const loop = open<string, string>()
  const cleared = loop.timeoutMs('cleared', 2)
  loop.channel().send('first')
  const { handler, calls } = collect<string, string>({
    notify(loop) {
      loop.clearTimeout(cleared)
      loop.timeoutMs('last', 20)
    },
    timeout: (loop) => loop.shutdown(),
  })
  await run(loop, handler)
  t.deepEqual(calls, [['notify', 'first'], ['tick'], ['timeout', 'last'], ['tick']])
})

eachWay('what is asked for in tick comes in a later batch', async (t, { open, run }) => {
  const loop = open<string, string>()
  let ticks = 0
  const { handler, calls } = collect<string, string>({
    tick(loop) {
      if (++ticks > 1) return
      loop.timeoutMs('from tick', 0)
      loop.channel().send('from tick')
    },
    timeout: (loop, timeout) => {
      if (timeout === 'from tick') loop.shutdown()
    },
  })
  loop.timeoutMs('first', 0)
  await run(loop, handler)
  t.deepEqual(calls.slice(0, 2), [['timeout', 'first'], ['tick']])
  t.true(calls.some(([name, value]) => name === 'notify' && value === 'from tick'))
  for (const batch of batches(calls.map(([name]) => name))) t.regex(batch, BATCH)
})
