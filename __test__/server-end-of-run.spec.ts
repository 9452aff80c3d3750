/** What is written just before a run ends leaves with it, and not with the next. */

import { type Connection, type EventLoop } from 'miolo'

import { eachDriver, type Stage } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'
import { dial, serve } from './support/servers.ts'

/** A loop that does not run yet, whose server has been sent something. */
async function prompted(stage: Stage, data: (conn: Connection, loop: EventLoop) => void) {
  const loop = stage.open()
  const { port } = serve(loop, { data: (conn) => data(conn, loop) })
  const client = await dial(stage, port).connected()
  await client.send('go')
  return { loop, client }
}

eachDriver('in run', async (t, stage) => {
  const { loop, client } = await prompted(stage, (conn) => {
    conn.write('bye')
    loop.shutdown()
  })
  await loop.run({})
  t.is(String(await client.take(3)), 'bye')
})

eachDriver('in runSync', async (t, stage) => {
  const { loop, client } = await prompted(stage, (conn) => {
    conn.write('bye')
    loop.shutdown()
  })
  loop.runSync({})
  t.is(String(await client.take(3)), 'bye')
})

eachDriver('in runOnce, which only looks', async (t, stage) => {
  let isWritten = false
  const { loop, client } = await prompted(stage, (conn) => {
    conn.write('bye')
    isWritten = true
  })
  while (!isWritten) await loop.runOnce({}, 0)
  t.is(String(await client.take(3)), 'bye')
})

eachDriver('outside of callbacks', async (t, stage) => {
  const { loop, client } = await prompted(stage, (conn) => {
    setImmediate(() => {
      conn.write('bye')
      loop.shutdown()
    })
  })
  await loop.run({})
  t.is(String(await client.take(3)), 'bye')
})

eachDriver('before a callback throws', async (t, stage) => {
  const loop = stage.open()
  const conns: Connection[] = []
  const { port } = serve(loop, {
    open: (conn) => void conns.push(conn),
    data() {
      for (const conn of conns) conn.write('bye')
      throw new Error('on purpose')
    },
  })
  const [first, second] = [dial(stage, port), dial(stage, port)]
  await Promise.all([first.connected(), second.connected()])
  while (conns.length < 2) await loop.runOnce({})
  await first.send('go')
  await t.throwsAsync(loop.run({}), { message: 'on purpose' })
  t.is(String(await second.take(3)), 'bye')
})

eachDriver('before the loop is closed', async (t, stage) => {
  const { loop, client } = await prompted(stage, (conn) => {
    conn.write('bye')
    loop.close()
  })
  await loop.run({})
  t.is(String(await client.take(3)), 'bye')
})

/** Keeps whoever turns the loop busy, and sends a line when it is told to. */
const FLOOD = `
  const { parentPort, workerData: port } = require('node:worker_threads')
  const net = require('node:net')
  const flood = net.connect(port, '127.0.0.1').on('error', () => {})
  const chunk = Buffer.alloc(1_000_000, 'x').fill('\\n', 999_999)
  const go = () => { while (flood.write(chunk)); }
  flood.on('connect', go).on('drain', go)
  const client = net.connect(port, '127.0.0.1').on('error', () => {})
  client.on('data', (data) => parentPort.postMessage(String(data)))
  parentPort.on('message', () => client.write('go\\n'))
`

eachDriver('while another connection keeps the loop busy', async (t, stage) => {
  const loop = stage.open()
  const framing = { delimiter: '\n', maxLength: 1_000_000 }
  const { port } = serve(
    loop,
    {
      data(conn, chunk) {
        if (chunk.length > 2) return
        conn.write('bye')
        loop.shutdown()
      },
    },
    { framing },
  )
  const client = stage.keep(TestWorker.code(FLOOD, { workerData: port, execArgv: [] }))
  for (let round = 0; round < 20; round++) {
    client.worker.postMessage('go')
    await loop.run({})
    t.is(await client.message(), 'bye')
  }
})
