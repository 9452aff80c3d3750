/** spinUs: looking again before sleeping changes when things come, and nothing else. */

import { EventSet, PollOpt } from 'miolo'

import { eachWay } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'
import { pair } from './support/sockets.ts'

for (const spinUs of [50, 3000]) {
  eachWay(`a ping-pong over a socket with spinUs ${spinUs}`, async (t, stage) => {
    const loop = stage.open({ spinUs })
    const { client, server } = await pair(stage)
    loop.register(client, 1, EventSet.readable(), PollOpt.edge())
    loop.register(server, 2, EventSet.readable(), PollOpt.edge())
    const byte = new Uint8Array(1)
    let rounds = 0
    client.write(byte)
    await stage.run(loop, {
      ready(loop, token) {
        const socket = token === 1 ? client : server
        if (socket.read(byte) === null) return
        socket.write(byte)
        if (++rounds === 300) loop.shutdown()
      },
    })
    t.is(rounds, 300)
  })

  eachWay(`timeouts with spinUs ${spinUs} are never early`, async (t, { open, run }) => {
    const loop = open<{ due: number }>({ spinUs })
    let earliest = Infinity
    let left = 100
    const set = () => {
      const delay = (left % 5) * 1.3
      loop.timeoutMs({ due: performance.now() + delay }, delay)
    }
    set()
    await run(loop, {
      timeout(loop, { due }) {
        earliest = Math.min(earliest, performance.now() - due)
        if (--left === 0) loop.shutdown()
        else set()
      },
    })
    t.true(earliest >= 0, `${earliest}`)
  })

  eachWay(`messages of a worker with spinUs ${spinUs}`, async (t, { open, run, keep }) => {
    const loop = open<unknown, number>({ spinUs })
    const count = 2000
    const worker = keep(
      TestWorker.code(
        `const { Sender } = require('miolo')
        const { workerData } = require('node:worker_threads')
        const sender = Sender.from(workerData.shared)
        for (let n = 0; n < workerData.count; ) {
          try {
            sender.send(n)
            if (++n % 100 === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
          } catch (error) {
            if (error.code !== 'ERR_MIOLO_NOTIFY_FULL') throw error
          }
        }`,
        { workerData: { shared: loop.channel().share(), count } },
      ),
    )
    let next = 0
    let wrong = 0
    await run(loop, {
      notify(loop, message) {
        if (message !== next++) wrong++
        if (next === count) loop.shutdown()
      },
    })
    t.is(wrong, 0)
    t.is(await worker.exit(), 0)
  })
}
