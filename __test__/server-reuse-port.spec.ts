/** The same server in several workers, by `reusePort`. */

import { once } from 'node:events'
import { connect } from 'node:net'

import { within } from './support/deadline.ts'
import { onLinux } from './support/platform.ts'
import { TestWorker } from './support/process.ts'

/** Tells its name to whoever connects. */
const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { name, port } = workerData
  import('miolo').then(({ EventLoop, TcpServer }) => {
    const loop = new EventLoop()
    const server = new TcpServer(loop, { open: (conn) => void conn.end(name) }, { reusePort: true })
    parentPort.postMessage(server.listen('127.0.0.1:' + port).port)
    return loop.run({})
  })
`

const CONNECTIONS = 200
/** Chance gives a worker less about once in 10¹⁷ runs. */
const FAIR = 40

// Elsewhere a port can be shared, too, but its connections are not spread.
onLinux('each of two workers gets its share of the connections', async (t) => {
  let port = 0
  for (const name of ['ada', 'bob']) {
    const workerData = { name, port }
    const worker = TestWorker.code(WORKER, { workerData, execArgv: [] })
    t.teardown(() => worker.close())
    // The first has the system choose the port.
    port = await worker.message<number>()
  }
  const shares: Record<string, number> = {}
  await within('the connections', async () => {
    for (let count = 0; count < CONNECTIONS; count++) {
      const socket = connect(port, '127.0.0.1')
      const [name] = (await once(socket, 'data')) as [Buffer]
      shares[String(name)] = (shares[String(name)] ?? 0) + 1
      socket.destroy()
    }
  })
  const { ada = 0, bob = 0 } = shares
  t.is(ada + bob, CONNECTIONS)
  t.true(Math.min(ada, bob) >= FAIR, JSON.stringify(shares))
})
