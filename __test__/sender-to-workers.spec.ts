import { Sender, type SharedSender } from 'miolo'

import { eachDriver, type Stage } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'

/** A loop in a worker that sums up the numbers it gets, and tells the sum when it has got `count`. */
const SUMS = `
  const { workerData: { driver, sync, count }, parentPort } = require('node:worker_threads')
  const { EventLoop } = require('miolo')
  const loop = new EventLoop({ driver, notifyCapacity: 100 })
  parentPort.postMessage(loop.channel().share())
  let left = count
  let sum = 0
  const handler = {
    notify(loop, number) {
      sum += number
      if (--left === 0) loop.shutdown()
    },
  }
  const end = () => {
    parentPort.postMessage(sum)
    loop.close()
  }
  if (sync) end(loop.runSync(handler))
  else loop.run(handler).then(end)
`

/** Sends `from` … `from + count - 1`. */
const COUNTS = `
  const { workerData: { shared, from, count } } = require('node:worker_threads')
  const { Sender } = require('miolo')
  const sender = Sender.from(shared)
  for (let n = 0; n < count; ) {
    try {
      sender.send(from + n)
      n++
    } catch (error) {
      if (error.code !== 'ERR_MIOLO_NOTIFY_FULL') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
`

async function summing({ driver, keep }: Stage, sync: boolean, count: number) {
  const workerData = { driver, sync, count }
  const worker = keep(TestWorker.code(SUMS, { workerData, execArgv: [] }))
  return { worker, shared: await worker.message<SharedSender>() }
}

for (const sync of [false, true]) {
  const suffix = sync ? ' (runSync)' : ''

  eachDriver(`a loop in a worker gets what others send to it${suffix}`, async (t, stage) => {
    const { worker, shared } = await summing(stage, sync, 2 * 5000 + 2)
    for (const from of [0, 5000]) {
      const workerData = { shared, from, count: 5000 }
      stage.keep(TestWorker.code(COUNTS, { workerData, execArgv: [] }))
    }
    const sender = Sender.from<number>(shared)
    let toSend = 2
    while (toSend > 0) {
      try {
        sender.send(1_000_000)
        toSend--
      } catch {
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
      }
    }
    t.is(await worker.message(), (9999 * 10_000) / 2 + 2_000_000)
    t.is(await worker.exit(), 0)
    t.throws(() => sender.send(1), { code: 'ERR_MIOLO_NOTIFY_CLOSED' })
  })

  eachDriver(
    `a Sender to a loop whose worker is terminated is closed${suffix}`,
    async (t, stage) => {
      const { worker, shared } = await summing(stage, sync, Infinity)
      const sender = Sender.from<number>(shared)
      sender.send(1)
      await worker.close()
      t.throws(() => sender.send(2), { code: 'ERR_MIOLO_NOTIFY_CLOSED' })
      t.throws(() => Sender.from(shared), { code: 'ERR_MIOLO_CLOSED' })
    },
  )
}

eachDriver('a SharedSender goes from worker to worker', async (t, stage) => {
  const { worker, shared } = await summing(stage, true, 100)
  const passOn = `
    const { workerData, parentPort } = require('node:worker_threads')
    parentPort.postMessage(require('miolo').Sender.from(workerData).share())
  `
  const between = stage.keep(TestWorker.code(passOn, { workerData: shared, execArgv: [] }))
  const passed = await between.message<SharedSender>()
  const workerData = { shared: passed, from: 0, count: 100 }
  stage.keep(TestWorker.code(COUNTS, { workerData, execArgv: [] }))
  t.is(await worker.message(), 4950)
})
