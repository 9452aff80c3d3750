/** One server on several loops. */

import { once } from 'node:events'
import { connect } from 'node:net'

import test from 'ava'
import { EventLoop, type ServerOptions, TcpServer } from 'miolo'

import { within } from './support/deadline.ts'
import { throwsCode } from './support/errors.ts'

function serve(options: ServerOptions) {
  const loop = new EventLoop()
  const server = new TcpServer(loop, { data: (conn, chunk) => void conn.write(chunk) }, options)
  return { loop, server, ...server.listen('127.0.0.1:0') }
}

/** Talks to a server so many times at once. */
function talk(port: number, clients: number): Promise<unknown> {
  const talks = Array.from({ length: clients }, async () => {
    const socket = connect(port, '127.0.0.1')
    socket.write('hello')
    await once(socket, 'data')
    socket.destroy()
  })
  return within('the answers', () => Promise.all(talks))
}

test.serial('they run, rest and run again together', async (t) => {
  const { loop, server, port } = serve({ loops: 3 })
  t.teardown(() => loop.close())
  for (let round = 0; round < 5; round++) {
    const run = loop.run({})
    await talk(port, 12)
    loop.shutdown()
    await run
  }
  const run = loop.run({})
  await within('the end', () => server.close())
  loop.shutdown()
  await run
  t.is(server.connections.size, 0)
})

test.serial('what a callback of one throws fails the run of the first', async (t) => {
  const loop = new EventLoop()
  t.teardown(() => loop.close())
  const thrown = new Error('thrown')
  const server = new TcpServer(
    loop,
    {
      data() {
        throw thrown
      },
    },
    { loops: 4 },
  )
  const { port } = server.listen('127.0.0.1:0')
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  t.teardown(() => socket.destroy())
  socket.write('hello')
  t.is(await t.throwsAsync(within('the run', () => loop.run({}))), thrown)
})

test.serial('the port is theirs alone, unless it is to be shared', async (t) => {
  const first = serve({ loops: 2 })
  t.teardown(() => first.loop.close())
  const address = `127.0.0.1:${first.port}`
  const second = new TcpServer(first.loop, {}, { loops: 2 })
  throwsCode(t, () => second.listen(address), 'EADDRINUSE', Error)

  const shared = serve({ loops: 2, reusePort: true })
  t.teardown(() => shared.loop.close())
  const other = new TcpServer(shared.loop, {}, { loops: 2, reusePort: true })
  t.is(other.listen(`127.0.0.1:${shared.port}`).port, shared.port)
})

test.serial('a loop that is closed closes the others', async (t) => {
  const { loop, server, port } = serve({ loops: 3 })
  const run = loop.run({})
  await talk(port, 3)
  loop.close()
  await within('the run', () => run)
  t.is(server.connections.size, 0)
  await within('the server', () => server.close())
})
