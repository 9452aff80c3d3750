/** One server on several loops. */

import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { connect, type Socket } from 'node:net'

import test from 'ava'
import { type Connection, EventLoop, LoopError, type ServerOptions, TcpServer } from 'miolo'

import { compute } from './support/compute.ts'
import { within } from './support/deadline.ts'
import { throwsCode } from './support/errors.ts'
import { Program } from './support/program.ts'

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

/** So many clients, each connected and served. */
function clients(port: number, count: number): Promise<Socket[]> {
  const served = async () => {
    const socket = connect(port, '127.0.0.1')
    socket.write('hello')
    await once(socket, 'data')
    return socket
  }
  return within('the clients', () => Promise.all(Array.from({ length: count }, served)))
}

/** How many of the connected sockets at this port each poll of this process watches, of those that watch any. */
function watched(port: number): number[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const rows = readFileSync('/proc/self/net/tcp', 'utf8').split('\n').slice(1)
  const fields = rows.map((row) => row.trim().split(/\s+/))
  const connected = fields.filter(([, local, , state]) => local?.endsWith(hex) && state === '01')
  const sockets = new Set(connected.map((row) => `socket:[${row[9]}]`))
  const link = (descriptor: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`)
    } catch {
      return ''
    }
  }
  // A poll may have several descriptors: it is known by what it watches.
  const polls = new Map<string, number>()
  for (const descriptor of readdirSync('/proc/self/fd')) {
    if (!link(descriptor).includes('eventpoll')) continue
    const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')
    const targets = [...info.matchAll(/^tfd:\s+(\d+)/gm)].map(([, target]) => target as string)
    const ours = targets.filter((target) => sockets.has(link(target)))
    if (ours.length > 0) polls.set(ours.sort().join(), ours.length)
  }
  return [...polls.values()]
}

test.serial('each has as many of the connections as the others', async (t) => {
  if (process.platform !== 'linux') {
    t.pass()
    return
  }
  const { loop, port } = serve({ loops: 3 })
  t.teardown(() => loop.close())
  void loop.run({})
  const sockets = await clients(port, 12)
  t.deepEqual(watched(port), [4, 4, 4])
  for (const socket of sockets) socket.destroy()
})

for (const driver of ['thread', 'auto', 'embedded'] as const) {
  test.serial(`the loop may be closed in a callback (${driver})`, async (t) => {
    const loop = new EventLoop({ driver })
    t.teardown(() => loop.close())
    const close = () => loop.close()
    const server = new TcpServer(loop, { open: close }, { loops: 2 })
    const { port } = server.listen('127.0.0.1:0')
    const run = loop.run({})
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    t.is(await within('the run', () => run), undefined)
    socket.destroy()
  })
}

test.serial(
  'all connections are told that the loop is closed, also where that throws',
  async (t) => {
    const loop = new EventLoop()
    t.teardown(() => loop.close())
    let closed = 0
    const server = new TcpServer(
      loop,
      {
        data: (conn, chunk) => void conn.write(chunk),
        close() {
          closed++
          throw new Error(`on purpose ${closed}`)
        },
      },
      { loops: 3 },
    )
    const { port } = server.listen('127.0.0.1:0')
    void loop.run({}).catch(() => {})
    const sockets = await clients(port, 6)
    t.throws(() => loop.close(), { message: 'on purpose 1' })
    t.is(closed, 6)
    t.is(server.connections.size, 0)
    await within('the server', () => server.close())
    for (const socket of sockets) socket.destroy()
  },
)

for (const which of [0, 1]) {
  test.serial(`what is thrown on loop ${which} while the run ends fails it`, async (t) => {
    const loop = new EventLoop()
    t.teardown(() => loop.close())
    let count = 0
    const data = () => {
      // So long that Node's loop has turns between the shutdown and the throw.
      compute(3)
      if (++count === 2) loop.shutdown()
      if (count === 30) throw new Error('on purpose')
    }
    const server = new TcpServer(loop, { data }, { loops: 2, framing: 'lines' })
    const { port } = server.listen('127.0.0.1:0')
    const run = loop.run({})
    const sockets = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
    for (const socket of sockets) {
      socket.on('error', () => {})
      await within('a connection', () => once(socket, 'connect'))
    }
    // Each loop has one of them.
    sockets[which]?.write('line\n'.repeat(30))
    await t.throwsAsync(
      within('the run', () => run),
      { message: 'on purpose' },
    )
    for (const socket of sockets) socket.destroy()
  })
}

test.serial('a close callback may ask anything of the others', async (t) => {
  const loop = new EventLoop()
  t.teardown(() => loop.close())
  const conns: Connection[] = []
  let closed = 0
  const server = new TcpServer(
    loop,
    {
      open: (conn) => void conns.push(conn),
      data: (conn, chunk) => void conn.write(chunk),
      close() {
        closed++
        // More often than there is room for commands.
        for (let time = 0; time < 1000; time++) for (const conn of conns) conn.abort()
      },
    },
    { loops: 2 },
  )
  const { port } = server.listen('127.0.0.1:0')
  void loop.run({}).catch(() => {})
  const sockets = await clients(port, 20)
  t.notThrows(() => loop.close())
  t.is(closed, 20)
  for (const socket of sockets) socket.destroy()
})

test.serial('runSync refuses it, since the other loops would have no turn', (t) => {
  const { loop, server } = serve({ loops: 2 })
  t.teardown(() => loop.close())
  throwsCode(t, () => loop.runSync({}), 'ERR_MIOLO_LOOPS_IN_RUN_SYNC', LoopError)
  void server.close()
  t.notThrows(() => {
    loop.timeoutMs('end', 0)
    loop.runSync({ timeout: () => loop.shutdown() })
  })
})

test.serial('neither can one be made while runSync runs', (t) => {
  const loop = new EventLoop()
  t.teardown(() => loop.close())
  loop.timeoutMs('now', 0)
  loop.runSync({
    timeout() {
      const make = () => new TcpServer(loop, {}, { loops: 2 })
      throwsCode(t, make, 'ERR_MIOLO_LOOPS_IN_RUN_SYNC', LoopError)
      loop.shutdown()
    },
  })
})

test.serial('limits are those of all together', async (t) => {
  for (const limit of [{ maxConnections: 4 }, { maxConnectionsPerAddress: 4 }]) {
    const { loop, server, port } = serve({ loops: 3, ...limit })
    t.teardown(() => loop.close())
    void loop.run({})
    const sockets = await clients(port, 4)
    const fifth = connect(port, '127.0.0.1').on('error', () => {})
    await within('the refusal', () => once(fifth, 'close'))
    t.is(server.refused, 1)
    t.is(server.connections.size, 4)
    // Whichever of them goes, there is room for another.
    for (const socket of sockets) {
      const [gone] = server.connections
      socket.destroy()
      await within('an end', async () => {
        while (server.connections.size === 4) await new Promise(setImmediate)
      })
      t.truthy(gone)
      await clients(port, 1)
      t.is(server.connections.size, 4)
    }
  }
})

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

for (const [limit, name] of [
  [0, 'without waiting'],
  [20, 'for a while'],
] as const) {
  test.serial(`a program that turns the loop by itself, ${name}, serves all of them`, async (t) => {
    const { loop, port } = serve({ loops: 3 })
    t.teardown(() => loop.close())
    let isOver = false
    const served = talk(port, 6).finally(() => {
      isOver = true
    })
    while (!isOver) await loop.runOnce({}, limit)
    await t.notThrowsAsync(served)
  })
}

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

/** Tries to make servers of more loops than there are descriptors for, on a loop that runs. */
const TOO_MANY = `
  import { readdirSync } from 'node:fs'
  import { EventLoop, TcpServer } from 'miolo'
  const loop = new EventLoop({ driver: 'thread' })
  new TcpServer(loop, {})
  void loop.run({})
  const held = async () => {
    await new Promise(setImmediate)
    return ['fd', 'task'].map((what) => readdirSync('/proc/self/' + what).length)
  }
  const before = await held()
  const codes = []
  for (let count = 0; count < 3; count++) {
    try {
      new TcpServer(loop, {}, { loops: 64 })
    } catch (error) {
      codes.push(error.code)
    }
  }
  console.log(JSON.stringify({ codes, before, after: await held() }))
  loop.close()
`

test.serial('where not all can be made, none is left', async (t) => {
  if (process.platform !== 'linux') {
    t.pass()
    return
  }
  const limited = ['sh', '-c', 'ulimit -n 64 && exec "$0" "$@"'] as const
  const program = new Program([
    ...limited,
    process.execPath,
    '--input-type=module',
    '--eval',
    TOO_MANY,
  ])
  t.teardown(() => program.close())
  const { stdout, stderr, code } = await program.ended()
  t.is(code, 0, stderr)
  const { codes, before, after } = JSON.parse(stdout)
  t.deepEqual(codes, ['EMFILE', 'EMFILE', 'EMFILE'])
  t.deepEqual(after, before)
})
