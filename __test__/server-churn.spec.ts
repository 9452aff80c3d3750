/** Connections come and go, and leave nothing behind. */

import net from 'node:net'

import { descriptors } from './support/census.ts'
import { within } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { journal, running, serve } from './support/servers.ts'

eachDriver('20 000 connects and disconnects leave what was there', async (t, stage) => {
  const counts = { open: 0, close: 0 }
  const slots = new Set<string>()
  const loop = running(stage)
  const { server, port } = serve(loop, {
    open: () => void counts.open++,
    data: (conn, chunk) => void conn.write(chunk),
    close: () => void counts.close++,
  })
  const churn = (count: number) =>
    Promise.all(
      Array.from({ length: 20 }, async (_, lane) => {
        for (let round = 0; round < count / 20; round++) {
          await new Promise<void>((resolve) => {
            const socket = net.connect({ port, host: '127.0.0.1' })
            socket.on('error', () => {})
            socket.on('close', () => resolve())
            // In order, by a reset, or at once.
            if (round % 3 === 0) socket.on('connect', () => socket.resetAndDestroy())
            else if (round % 3 === 1) socket.end('bye').resume()
            else socket.on('connect', () => socket.destroy())
            slots.add(`${lane}`)
          })
        }
      }),
    )
  const settled = () =>
    within('no connection', async () => {
      while (server.connections.size > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    })
  await churn(2000)
  await settled()
  globalThis.gc?.()
  const before = { descriptors: descriptors(), rss: process.memoryUsage().rss }
  await churn(18_000)
  await settled()
  globalThis.gc?.()
  t.is(counts.open, counts.close)
  t.true(counts.open <= 20_000)
  t.true(descriptors() <= before.descriptors + 2, `${descriptors()}, once ${before.descriptors}`)
  const grown = process.memoryUsage().rss - before.rss
  t.true(grown < 60 * 2 ** 20, `${grown} bytes more`)
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
