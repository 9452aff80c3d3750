/** Who does not read is felt by who writes, and by nobody else. */

import { compute } from './support/compute.ts'
import { eachDriver } from './support/drivers.ts'
import { within } from './support/deadline.ts'
import { dial, journal, running, serve, type Client } from './support/servers.ts'

const turn = () => new Promise((resolve) => setTimeout(resolve, 50))

/** Writes until the system takes no more, and for a while nothing more goes. */
async function fill(client: Client): Promise<number> {
  const part = Buffer.alloc(64 * 1024)
  let count = 0
  for (let stuck = 0; stuck < 10;) {
    if (client.socket.writableLength > 0) {
      stuck++
      await turn()
    } else {
      stuck = 0
      count += part.length
      client.socket.write(part)
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (count > 200_000_000) throw new Error('it takes everything')
  }
  return count
}

eachDriver('a connection that is paused has its peer wait, and loses nothing', async (t, stage) => {
  let received = 0
  const log = journal({
    open: (conn) => conn.pause(),
    data(_, chunk) {
      received += chunk.length
    },
  })
  const { port } = serve(running(stage), {
    ...log.handler,
    data: (_, chunk) => void (received += chunk.length),
  })
  const client = await dial(stage, port).connected()
  const { conn } = await log.opened()
  const sent = await within('a standstill', () => fill(client))
  t.true(received < sent)
  conn.resume()
  client.socket.end()
  await log.closed()
  t.is(received, sent)
})

eachDriver('others go on meanwhile, and new ones come', async (t, stage) => {
  const log = journal({
    open(conn) {
      if (log.lives.length === 1) conn.pause()
    },
    data: (conn, chunk) => void conn.write(chunk),
  })
  const { port } = serve(running(stage), log.handler)
  const paused = await dial(stage, port).connected()
  await log.opened()
  await within('a standstill', () => fill(paused))
  for (let count = 0; count < 10; count++) {
    const client = dial(stage, port)
    client.write('hello')
    t.is((await client.take(5)).toString(), 'hello')
  }
  t.is(log.lives[0]?.chunks.length, 0)
})

eachDriver('one that floods does not starve a hundred that are quiet', async (t, stage) => {
  const flooding = Buffer.alloc(1_000_000)
  const { port } = serve(running(stage), {
    data(conn, chunk) {
      if (chunk.length < 10) conn.write(chunk)
    },
  })
  const flood = await dial(stage, port).connected()
  let isOver = false
  const pour = () => {
    if (!isOver) flood.socket.write(flooding, pour)
  }
  pour()
  pour()
  const quiet = Array.from({ length: 100 }, () => dial(stage, port))
  await Promise.all(
    quiet.map(async (client) => {
      for (let round = 0; round < 10; round++) {
        client.write('ping')
        t.is((await client.take(4)).toString(), 'ping')
      }
    }),
  )
  isOver = true
})

eachDriver(
  'a callback that does not return has the arena fill, and nothing is lost',
  async (t, stage) => {
    let received = 0
    let isFirst = true
    const log = journal()
    const { port } = serve(running(stage), {
      ...log.handler,
      data(_, chunk) {
        received += chunk.length
        if (!isFirst) return
        isFirst = false
        compute(500)
      },
    })
    const clients = Array.from({ length: 10 }, () => dial(stage, port))
    await log.opened(9)
    for (const client of clients) client.socket.end(Buffer.alloc(1_000_000))
    for (const index of clients.keys()) t.is((await log.closed(index)).reason, 'end')
    t.is(received, 10_000_000)
  },
)

eachDriver('an arena that is full of small chunks of many is fair to all', async (t, stage) => {
  const counts = new Map<unknown, number>()
  const log = journal()
  const { port } = serve(running(stage, { eventCapacity: 32 }), {
    ...log.handler,
    data(conn, chunk) {
      counts.set(conn, (counts.get(conn) ?? 0) + chunk.length)
    },
  })
  const clients = Array.from({ length: 40 }, () => dial(stage, port))
  await log.opened(39)
  for (const client of clients) client.socket.end(Buffer.alloc(300_000))
  for (const index of clients.keys()) await log.closed(index)
  t.deepEqual(
    [...counts.values()],
    clients.map(() => 300_000),
  )
})
