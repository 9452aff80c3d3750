import { setImmediate as turn } from 'node:timers/promises'
import { Script } from 'node:vm'

import test from 'ava'
import { EventLoop, type NotifyError, Sender, type SharedSender } from 'miolo'

import { LANE_SENT, LANE_WORDS, LANES } from '../ts/bridge/layout.ts'
import { within } from './support/deadline.ts'
import { drivers } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'

const WORKERS = 12
const CAPACITY = 2 ** 20
/** What fits into a lane, so that no message is spilled, which would be slow and hard to be caught at. */
const COUNT = 8000

/** Sends its id and 0, 1, 2, … as fast as it can, when it is told to. */
const SENDS = `
  const { workerData: { shared, id, go, count }, parentPort } = require('node:worker_threads')
  const sender = require('miolo').Sender.from(shared)
  parentPort.postMessage('ready')
  while (Atomics.load(go, 0) === 0);
  for (let n = 0; n < count; n++) sender.send(n % 8 === 0 ? id + ' ' + n : id * 1e9 + n)
  Atomics.wait(go, 0, 1)
`

function read(message: unknown): { id: number; n: number } {
  if (typeof message === 'number') return { id: Math.floor(message / 1e9), n: message % 1e9 }
  const [id, n] = String(message).split(' ')
  return { id: Number(id), n: Number(n) }
}

/** How many messages the Senders of other threads have sent. */
function sent(shared: SharedSender): number {
  const { lanes } = shared as unknown as { lanes: Int32Array }
  let sum = 0
  for (let lane = 0; lane < LANES; lane++) {
    sum += Atomics.load(lanes, lane * LANE_WORDS + LANE_SENT)
  }
  return sum
}

/** Fills the channel from the loop's own thread: how many messages there is room for. */
function room(loop: EventLoop<unknown, unknown>): number {
  const sender = loop.channel()
  for (let count = 0; ; count++) {
    try {
      sender.send(count)
    } catch (error) {
      if ((error as NotifyError).code === 'ERR_MIOLO_NOTIFY_FULL') return count
      throw error
    }
  }
}

for (const driver of drivers) {
  test.serial(`a worker terminated while it sends costs nothing (${driver})`, async (t) => {
    using loop = new EventLoop<unknown, unknown>({ driver, notifyCapacity: CAPACITY })
    const shared = loop.channel().share()
    // So few lanes are left that each is used by several workers, one after the other.
    const others = Array.from({ length: 61 }, () => Sender.from(shared))
    const next: number[] = Array.from({ length: WORKERS }, () => 0)
    let received = 0
    const running = loop.run({
      notify(_, message) {
        const { id, n } = read(message)
        if (n !== next[id]) throw new Error(`${n} of ${id}, and not ${next[id]}`)
        next[id]!++
        received++
      },
    })

    async function terminateOne(id: number): Promise<void> {
      const go = new Int32Array(new SharedArrayBuffer(4))
      const workerData = { shared, id, go, count: COUNT }
      const worker = TestWorker.code(SENDS, { workerData, execArgv: [] })
      await worker.message()
      Atomics.store(go, 0, 1)
      // Each at another moment; if it has not begun to send yet, or is done, that is fine too.
      const moment = performance.now() + (id % 8)
      while (performance.now() < moment) await turn()
      await worker.close()
    }

    let started = 0
    const terminateAll = async () => {
      while (started < WORKERS) await terminateOne(started++)
    }
    await within('the workers', () => Promise.all([terminateAll(), terminateAll()]))

    // What has been sent comes, though nobody sends any more, and the capacity is all there.
    await within('the messages', async () => {
      while (received < sent(shared)) await Promise.race([turn(), running])
    })
    loop.shutdown()
    await running
    t.true(received > 0)
    t.is(room(loop), CAPACITY)
    t.is(others.length, 61)
  })

  test.serial(`a send cut by a vm timeout is done or not done (${driver})`, async (t) => {
    using loop = new EventLoop<unknown, unknown>({ driver, notifyCapacity: CAPACITY })
    const sender = Sender.from<number>(loop.channel().share())
    const state = { sender, n: 0 }
    // Each message that send has not returned from may have been sent, and is sent again.
    const source = `(state, count) => {
      while (count-- > 0) {
        state.sender.send(state.n)
        state.n++
      }
      for (;;);
    }`
    const burst = new Script(`(${source})(globalThis.cutShort, ${COUNT})`)
    Object.assign(globalThis, { cutShort: state })
    let expected = 0
    for (let time = 0; time < 60; time++) {
      t.throws(() => burst.runInThisContext({ timeout: 1 }), {
        code: 'ERR_SCRIPT_EXECUTION_TIMEOUT',
      })
      loop.channel().send('pause')
      await within('the messages', () =>
        loop.run({
          notify(_, message) {
            if (message === 'pause') return
            if (message !== expected && message !== expected - 1) {
              throw new Error(`${message}, and not ${expected}`)
            }
            expected = message + 1
          },
          tick(loop) {
            if (expected >= state.n) loop.shutdown()
          },
        }),
      )
    }
    // What was sent twice, or behind the last message that was waited for, is still to come.
    for (let turns = 0; turns < 100; turns++) await loop.runOnce({}, 0)
    t.is(room(loop), CAPACITY)
  })
}
