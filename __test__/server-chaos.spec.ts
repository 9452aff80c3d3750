/** Servers behind a network that splits, delays and resets. */

import { createHash } from 'node:crypto'
import net from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { connect, type Connection } from 'miolo'

import { chaos, random } from './support/chaos.ts'
import { deferred, within } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { areInOrder, dial, journal, running, serve } from './support/servers.ts'

eachDriver('what is sent comes back, whatever the network does to it', async (t, stage) => {
  const next = random(1)
  const log = journal({ data: (conn, chunk) => void conn.write(chunk) })
  const { address } = serve(running(stage), log.handler)
  const { port } = await chaos(stage, address, { seed: 2, most: 3000, late: 0.02 })
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      const client = dial(stage, port)
      const sent = createHash('sha1')
      const count = Math.floor(next() * 200_000)
      for (let left = count; left > 0;) {
        const part = Buffer.alloc(Math.min(left, 1 + Math.floor(next() * 20_000)), String(left))
        sent.update(part)
        client.write(part)
        left -= part.length
      }
      client.socket.end()
      const back = await client.rest()
      t.is(back.length, count)
      t.is(createHash('sha1').update(back).digest('hex'), sent.digest('hex'))
    }),
  )
  for (let index = 0; index < 20; index++) t.is((await log.closed(index)).reason, 'end')
  areInOrder(t, log.lives)
})

eachDriver('frames stay whole', async (t, stage) => {
  const log = journal({ data: (conn, line) => void conn.write(`<${line.toString()}>\n`) })
  const { address } = serve(running(stage), log.handler, { framing: 'lines' })
  const { port } = await chaos(stage, address, { seed: 3, most: 7, late: 0.05 })
  const lines = Array.from({ length: 300 }, (_, index) => `${index} ${'€'.repeat(index % 5)}`)
  await Promise.all(
    [0, 1, 2, 3].map(async () => {
      const client = dial(stage, port)
      client.socket.end(`${lines.join('\r\n')}\r\n`)
      t.is((await client.rest()).toString(), lines.map((line) => `<${line}>\n`).join(''))
    }),
  )
})

eachDriver('resets at any time leave nothing behind', async (t, stage) => {
  const loop = running(stage)
  const log = journal({ data: (conn, chunk) => void conn.write(chunk) })
  const { server, address } = serve(loop, log.handler)
  const { port, resets } = await chaos(stage, address, { seed: 4, most: 3000, reset: 0.02 })
  let whole = 0
  const one = async (seed: number) => {
    const next = random(seed)
    for (let round = 0; round < 25; round++) {
      const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      stage.keep({ close: () => socket.destroy() })
      socket.on('error', () => {})
      const size = Math.floor(next() * 50_000)
      let count = 0
      socket.on('data', (chunk) => (count += chunk.length))
      socket.on('end', () => socket.destroy())
      const closed = new Promise((resolve) => socket.on('close', resolve))
      socket.end(Buffer.alloc(size))
      await within('the end of a client', () => closed)
      if (count === size) whole++
    }
  }
  await Promise.all([10, 11, 12, 13, 14].map(one))
  t.true(resets() > 0)
  t.true(whole > 0)
  // Those that are open still are those that the proxy has not told yet.
  await log.until('no connection', () => server.connections.size === 0)
  areInOrder(t, log.lives)
  for (const { reason } of log.lives) t.true(reason === 'end' || reason === 'reset', reason)
})

eachDriver('connections that this side begins, by streams with a hash', async (t, stage) => {
  const loop = running(stage)
  const { address } = serve(loop, { data: (conn, chunk) => void conn.write(chunk) })
  const { port } = await chaos(stage, address, { seed: 5, most: 20_000, late: 0.02 })
  const closed = deferred<string>()
  const handler = { close: (_: Connection, reason: string) => closed.resolve(reason) }
  const conn = await within('a connection', () =>
    connect(loop, { host: '127.0.0.1', port }, handler),
  )
  const stream = conn.toStream()
  stage.keep({ close: () => stream.destroy() })
  const next = random(6)
  const [sent, received] = [createHash('sha1'), createHash('sha1')]
  function* parts() {
    for (let part = 0; part < 100; part++) {
      const bytes = Buffer.alloc(1 + Math.floor(next() * 20_000), String(part))
      sent.update(bytes)
      yield bytes
    }
  }
  const receive = async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) received.update(chunk)
  }
  await within('the pipelines', () =>
    Promise.all([
      pipeline(Readable.from(parts(), { objectMode: false }), stream),
      pipeline(stream, receive),
    ]),
  )
  t.is(await within('the end', () => closed.promise), 'end')
  t.is(received.digest('hex'), sent.digest('hex'))
})
