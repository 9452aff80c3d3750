/** Connections come and go, and leave nothing behind. */

import { once } from 'node:events'
import net from 'node:net'

import { descriptors } from './support/census.ts'
import { within } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { Program } from './support/program.ts'
import { journal, running, serve } from './support/servers.ts'

/**
 * A server in a process of its own, which says on each line of input what it holds. V8 may take up to three times
 * its largest young generation at its leisure, so that is kept small: what is left then is what is held.
 */
const SERVER = `
  import { readdirSync } from 'node:fs'
  import { createInterface } from 'node:readline'
  import { EventLoop, TcpServer } from 'miolo'
  const [, driver] = process.argv
  const loop = new EventLoop({ driver })
  const counts = { open: 0, close: 0 }
  const server = new TcpServer(loop, {
    open: () => void counts.open++,
    data: (conn, chunk) => void conn.write(chunk),
    close: () => void counts.close++,
  })
  console.log(JSON.stringify(server.listen('127.0.0.1:0')))
  loop.run({})
  createInterface({ input: process.stdin }).on('line', () => {
    gc()
    const { rss, heapUsed, external } = process.memoryUsage()
    const descriptors = process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0
    const connections = server.connections.size
    console.log(JSON.stringify({ ...counts, connections, descriptors, rss, heapUsed, external }))
  })
`

interface Held {
  open: number
  close: number
  connections: number
  descriptors: number
  rss: number
  heapUsed: number
  external: number
}

eachDriver('20 000 connects and disconnects leave what was there', async (t, { driver }) => {
  const nodeArgs = ['--expose-gc', '--max-semi-space-size=1', '--input-type=module']
  const program = new Program([process.execPath, ...nodeArgs, '--eval', SERVER, driver])
  t.teardown(() => program.close())
  const { port } = JSON.parse((await program.says(/^.+\n/))[0]) as { port: number }
  const held = async () => {
    program.stdout = ''
    program.child.stdin?.write('?\n')
    return JSON.parse((await program.says(/^.+\n/))[0]) as Held
  }
  /** What is held once all have gone. One more that is answered shows that there are none still to be accepted. */
  const settled = async () => {
    const last = net.connect({ port, host: '127.0.0.1' })
    last.write('last')
    await within('an answer', () => once(last, 'data'))
    last.destroy()
    return within('no connection', async () => {
      for (;;) {
        const now = await held()
        if (now.connections === 0) return now
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    })
  }
  const churn = (count: number) =>
    Promise.all(
      Array.from({ length: 20 }, async () => {
        for (let round = 0; round < count / 20; round++) {
          await new Promise<void>((resolve) => {
            const socket = net.connect({ port, host: '127.0.0.1' })
            socket.on('error', () => {})
            socket.on('close', () => resolve())
            // In order, by a reset, or at once.
            if (round % 3 === 0) socket.on('connect', () => socket.resetAndDestroy())
            else if (round % 3 === 1) socket.end('bye').resume()
            else socket.on('connect', () => socket.destroy())
          })
        }
      }),
    )
  await churn(10_000)
  const before = await settled()
  await churn(20_000)
  const after = await settled()
  t.is(after.open, after.close)
  // Not every system hands out one that was reset before it was accepted.
  t.true(after.open > 20_000 && after.open <= 30_002, `${after.open} have been open`)
  t.true(after.descriptors <= before.descriptors, `${before.descriptors}, ${after.descriptors}`)
  const grown = (what: 'rss' | 'heapUsed' | 'external') => after[what] - before[what]
  // As much would be 100 bytes of each connection, or 1000.
  t.true(grown('heapUsed') < 2e6, `heapUsed: ${grown('heapUsed')} bytes more`)
  t.true(grown('external') < 2e6, `external: ${grown('external')} bytes more`)
  t.true(grown('rss') < 20e6, `rss: ${grown('rss')} bytes more`)
})

eachDriver('servers and loops that come and go leave no descriptor', async (t, stage) => {
  const before = descriptors()
  for (let round = 0; round < 20; round++) {
    const log = journal()
    const loop = running(stage)
    const { port } = serve(loop, log.handler)
    const socket = net.connect({ port, host: '127.0.0.1' }).on('error', () => {})
    await log.opened()
    loop.close()
    socket.destroy()
    await new Promise((resolve) => setImmediate(resolve))
  }
  await within('the descriptors', async () => {
    while (descriptors() > before + 4) await new Promise((resolve) => setTimeout(resolve, 5))
  })
  t.pass()
})
