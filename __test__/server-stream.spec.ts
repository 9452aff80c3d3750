/** Connections as streams, which behave as a net.Socket does in pipelines. */

import { createHash, type Hash } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { type Duplex, PassThrough, Readable, Transform, Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'

import {
  type CloseReason,
  type Connection,
  connect,
  type ConnectionOptions,
  type EventLoop,
  type SocketAddress,
} from 'miolo'

import { DEADLINE_MS, within } from './support/deadline.ts'
import { eachDriver, type Stage } from './support/drivers.ts'
import { dial, journal, running, serve } from './support/servers.ts'

const SIZE = 50 * 1024 * 1024

/** So many bytes that do not repeat soon, and their hash. */
function source(size: number): { stream: Readable; hash: Hash } {
  const hash = createHash('sha1')
  function* parts() {
    for (let left = size, index = 0; left > 0; index++) {
      const part = Buffer.alloc(Math.min(left, 1 + ((index * 7919) % 100_000)), `${index} `)
      hash.update(part)
      left -= part.length
      yield part
    }
  }
  return { stream: Readable.from(parts(), { objectMode: false }), hash }
}

function sink(): { stream: Writable; hash: Hash; count: () => number } {
  const hash = createHash('sha1')
  let count = 0
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      hash.update(chunk)
      count += chunk.length
      done()
    },
  })
  return { stream, hash, count: () => count }
}

/** What a stream brings to its end; unlike `for await`, this does not destroy it then. */
async function textOf(stream: Readable): Promise<string> {
  let text = ''
  stream.on('data', (chunk) => {
    text += String(chunk)
  })
  await within('the end of a stream', () => once(stream, 'end'))
  return text
}

/** Two streams that are connected with each other. */
async function streams(
  stage: Stage,
  options: ConnectionOptions = {},
  loop: EventLoop = running(stage),
): Promise<{ near: Duplex; far: Duplex; conns: Connection[]; log: ReturnType<typeof journal> }> {
  const conns: Connection[] = []
  const ends: Duplex[] = []
  const log = journal({
    open(conn) {
      conns.push(conn)
      ends.push(conn.toStream())
    },
  })
  const { address } = serve(loop, log.handler, options)
  const conn = await within('a connection', () => connect(loop, address, log.handler, options))
  await log.opened(1)
  const isNear = conns[0] === conn
  const [near, far] = (isNear ? ends : ends.reverse()) as [Duplex, Duplex]
  for (const stream of [near, far]) stage.keep({ close: () => stream.destroy() })
  return { near, far, conns: isNear ? conns : conns.reverse(), log }
}

eachDriver('50 MB there and back, by pipelines', async (t, stage) => {
  const { near, far, log } = await streams(stage)
  const [from, into] = [source(SIZE), sink()]
  await within('the pipelines', () =>
    Promise.all([pipeline(far, far), pipeline(from.stream, near), pipeline(near, into.stream)]),
  )
  t.is(into.count(), SIZE)
  t.is(into.hash.digest('hex'), from.hash.digest('hex'))
  t.is((await log.closed(0)).reason, 'end')
  t.is((await log.closed(1)).reason, 'end')
})

eachDriver('both ways at once, and borrowed chunks are kept well', async (t, stage) => {
  // The one that has all first is not to end the other.
  const { near, far } = await streams(stage, { borrow: 'checked', allowHalfOpen: true })
  const size = 10_000_000
  const [a, b, x, y] = [source(size), source(size - 1), sink(), sink()]
  await within('the pipelines', () =>
    Promise.all([
      pipeline(a.stream, near),
      pipeline(b.stream, far),
      pipeline(near, x.stream),
      pipeline(far, y.stream),
    ]),
  )
  t.is(x.hash.digest('hex'), b.hash.digest('hex'))
  t.is(y.hash.digest('hex'), a.hash.digest('hex'))
})

eachDriver('a slow reader has its peer wait', async (t, stage) => {
  const { near, far, conns } = await streams(stage)
  const part = Buffer.alloc(100_000)
  let written = 0
  // Nobody reads the far stream.
  const isFull = () => {
    while (written < 500_000_000) {
      written += part.length
      if (!near.write(part)) return
    }
  }
  isFull()
  near.on('drain', isFull)
  let before = -1
  await within('a standstill', async () => {
    while (written !== before || (conns[0]?.bufferedAmount ?? 0) === 0) {
      before = written
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
  })
  t.true(written < 100_000_000, String(written))
  near.off('drain', isFull)
  near.end()
  const into = sink()
  await within('the rest', () => pipeline(far, into.stream))
  t.is(into.count(), written)
})

eachDriver('a write of any size, whatever maxWriteBuffer is', async (t, stage) => {
  const { near, far } = await streams(stage, { maxWriteBuffer: 100_000, highWaterMark: 10_000 })
  const big = Buffer.alloc(5_000_000, 'abc')
  near.end(big)
  const into = sink()
  await within('all of it', () => pipeline(far, into.stream))
  t.is(into.count(), big.length)
  t.is(into.hash.digest('hex'), createHash('sha1').update(big).digest('hex'))
})

eachDriver(
  'finish comes when all has been sent, so that destroy loses nothing',
  async (t, stage) => {
    const { near, far } = await streams(stage)
    const size = 8_000_000
    const into = sink()
    const done = within('the far end', () => pipeline(far, into.stream))
    near.end(Buffer.alloc(size))
    await within('finish', () => once(near, 'finish'))
    near.destroy()
    await done.catch(() => {})
    t.is(into.count(), size)
  },
)

eachDriver('what waits when the peer ends is answered still', async (t, stage) => {
  const { near, far } = await streams(stage, { allowHalfOpen: true })
  const slow = new Transform({
    transform(chunk: Buffer, _, done) {
      setImmediate(() => done(null, chunk))
    },
  })
  const size = 1_000_000
  const into = sink()
  near.end(Buffer.alloc(size))
  await within('the pipelines', () =>
    Promise.all([pipeline(far, slow, new PassThrough(), far), pipeline(near, into.stream)]),
  )
  t.is(into.count(), size)
})

eachDriver(
  'with allowHalfOpen the writable side goes on when the readable has ended',
  async (t, stage) => {
    const { near, far, log } = await streams(stage, { allowHalfOpen: true })
    near.end('question')
    t.is(await textOf(far), 'question')
    await new Promise((resolve) => setImmediate(resolve))
    t.true(far.writable)
    far.write('ans')
    far.end('wer')
    t.is(await textOf(near), 'answer')
    t.is((await log.closed(0)).reason, 'end')
    t.is((await log.closed(1)).reason, 'end')
  },
)

eachDriver(
  'without allowHalfOpen the writable side ends when the readable has',
  async (t, stage) => {
    const { near, far, log } = await streams(stage)
    near.end()
    far.resume()
    near.resume()
    await within('the ends', () =>
      Promise.all([once(far, 'finish'), once(far, 'close'), once(near, 'close')]),
    )
    t.is((await log.closed(0)).reason, 'end')
    t.is((await log.closed(1)).reason, 'end')
  },
)

eachDriver(
  'an error of the source destroys the stream, and the peer learns of it',
  async (t, stage) => {
    const { near, far, log, conns } = await streams(stage)
    const failure = new Error('on purpose')
    const failing = new Readable({ read() {} })
    failing.push('some')
    setImmediate(() => failing.destroy(failure))
    far.on('error', () => {}).resume()
    t.is(await t.throwsAsync(within('the pipeline', () => pipeline(failing, near))), failure)
    t.true(near.destroyed)
    const life = (conn?: Connection) => log.lives.find((each) => each.conn === conn)
    await log.until('both ends', () => conns.every((conn) => life(conn)?.reason !== undefined))
    t.is(life(conns[0])?.reason, 'aborted')
  },
)

eachDriver('a reset is an error of the stream: ECONNRESET', async (t, stage) => {
  const { near, far, conns } = await streams(stage)
  far.on('error', () => {})
  const failed = t.throwsAsync(within('the pipeline', () => pipeline(near, sink().stream)))
  conns[1]?.abort()
  const error = (await failed) as NodeJS.ErrnoException
  t.is(error.code, 'ECONNRESET')
  t.true(near.destroyed)
})

eachDriver('a timeout is an error of the stream: ETIMEDOUT', async (t, stage) => {
  const loop = running(stage)
  const pipelined = new Promise<void>((_, reject) => {
    // At once: on a busy machine the timeout comes before anything could be awaited.
    const open = (conn: Connection) => void pipeline(conn.toStream(), sink().stream).catch(reject)
    const { port } = serve(loop, { open }, { idleTimeoutMs: 50 })
    dial(stage, port)
  })
  await t.throwsAsync(
    within('the error', () => pipelined),
    { code: 'ETIMEDOUT' },
  )
})

eachDriver('destroy closes the connection, once', async (t, stage) => {
  const { near, far, log, conns } = await streams(stage)
  far.on('error', () => {}).resume()
  const closed = once(near, 'close')
  near.destroy()
  near.destroy()
  await within('close', () => closed)
  const life = log.lives.find(({ conn }) => conn === conns[0])!
  t.is(life.reason, 'aborted')
  t.false(conns[0]?.write('late'))
  await within('the far end', async () => {
    if (!far.closed) await once(far, 'close')
  })
})

eachDriver('destroy with an error tells it, and only it', async (t, stage) => {
  const { near, far } = await streams(stage)
  far.on('error', () => {}).resume()
  const failure = new Error('on purpose')
  const errors: Error[] = []
  near.on('error', (error) => errors.push(error))
  const closed = new Promise((resolve) => near.on('close', resolve))
  near.destroy(failure)
  await within('close', () => closed)
  t.deepEqual(errors, [failure])
})

eachDriver('a write after the connection has gone is EPIPE', async (t, stage) => {
  const { near, conns } = await streams(stage)
  conns[0]?.end()
  const failed = within('an error', () => once(near, 'error'))
  near.write('late')
  const [error] = (await failed) as [NodeJS.ErrnoException]
  t.is(error.code, 'EPIPE')
})

eachDriver('toStream returns the same stream each time', async (t, stage) => {
  const { near, conns } = await streams(stage)
  t.is(conns[0]?.toStream(), near)
})

eachDriver('toStream of a connection that has ended is destroyed', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler)
  dial(stage, port).socket.end()
  const { conn } = await log.closed()
  const stream = conn.toStream()
  t.true(stream.destroyed)
  await within('close', async () => {
    if (!stream.closed) await once(stream, 'close')
  })
})

eachDriver('a handler that is an instance has itself in `close`', async (t, stage) => {
  class Instance {
    reason: string | undefined
    open(conn: Connection) {
      conn.toStream().resume()
    }
    close(_: Connection, reason: string) {
      this.reason = reason
      closed()
    }
  }
  let closed = () => {}
  const told = new Promise<void>((resolve) => {
    closed = resolve
  })
  const handler = new Instance()
  const { port } = serve(running(stage), handler)
  dial(stage, port).socket.end()
  await within('close', () => told)
  t.is(handler.reason, 'end')
})

eachDriver('a connection that was paused is read from when its stream is', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  const { conn } = await log.opened()
  conn.pause()
  conn.flush()
  client.socket.end('after all')
  t.is(await textOf(conn.toStream()), 'after all')
})

// Which action it is, and what `close` is told.
const own: [string, CloseReason, (conn: Connection, loop: EventLoop) => void][] = [
  ['abort', 'aborted', (conn) => conn.abort()],
  ['the end of the loop', 'shutdown', (_, loop) => loop.close()],
]
for (const [action, reason, act] of own) {
  eachDriver(`${action} destroys the stream, without an error`, async (t, stage) => {
    const loop = running(stage)
    const log = journal({ open: (conn) => void conn.toStream().write(Buffer.alloc(30_000_000)) })
    const { port } = serve(loop, log.handler)
    dial(stage, port, { silent: true })
    const { conn } = await log.opened()
    const stream = conn.toStream()
    stream.on('error', t.fail)
    const endless = new Readable({ read() {} })
    const done = t.throwsAsync(within('the pipeline', () => pipeline(endless, stream)))
    act(conn, loop)
    t.is(((await done) as NodeJS.ErrnoException).code, 'ERR_STREAM_PREMATURE_CLOSE')
    t.is((await log.closed()).reason, reason)
    t.notThrows(() => stream.write('late'))
  })
}

eachDriver('without a pipeline, nothing is thrown, either', async (t, stage) => {
  const loop = running(stage)
  const { near, far, conns } = await streams(stage, {}, loop)
  const closed = [near, far].map((stream) => once(stream, 'close'))
  conns[1]?.pause()
  conns[0]?.abort()
  near.write('late')
  loop.close()
  await within('both ends', () => Promise.all(closed))
  t.pass()
})

eachDriver('a server that is closed sends what its streams were given', async (t, stage) => {
  const log = journal({
    open(conn) {
      const stream = conn.toStream().resume()
      for (let count = 0; count < 10; count++) stream.write(Buffer.alloc(1_000_000, `${count}`))
      // What the user does not end, closing does.
      if (conn.remoteAddress?.port === ended.socket.localPort) stream.end()
    },
  })
  const { server, port } = serve(running(stage), log.handler, { maxWriteBuffer: 2_000_000 })
  const ended = dial(stage, port, { silent: true })
  const open = dial(stage, port, { silent: true })
  await log.opened(1)
  const done = within('the server', () => server.close({ deadlineMs: 60_000 }))
  for (const client of [ended, open]) {
    client.listen()
    const all = await client.rest()
    t.is(all.length, 10_000_000)
    t.is(all.subarray(-1).toString(), '9')
    client.socket.end()
  }
  t.deepEqual(await done, { end: 2 })
  for (const { conn } of log.lives) t.is(conn.toStream().errored, null)
})

eachDriver('a write to a stream of a server that is closed comes too late', async (t, stage) => {
  const log = journal({ open: (conn) => void conn.toStream() })
  const { server, port } = serve(running(stage), log.handler)
  dial(stage, port)
  const stream = (await log.opened()).conn.toStream()
  const done = server.close({ deadlineMs: 60_000 })
  const failed = within('an error', () => once(stream, 'error'))
  stream.write('late')
  const [{ code }] = (await failed) as [NodeJS.ErrnoException]
  t.is(code, 'ERR_STREAM_WRITE_AFTER_END')
  t.deepEqual(await within('the server', () => done), { aborted: 1 })
})

eachDriver('the deadline of a server destroys its streams, without an error', async (t, stage) => {
  const log = journal({ open: (conn) => void conn.toStream().write(Buffer.alloc(30_000_000)) })
  const { server, port } = serve(running(stage), log.handler)
  dial(stage, port, { silent: true })
  const stream = (await log.opened()).conn.toStream()
  stream.on('error', t.fail)
  const closed = once(stream, 'close')
  const done = await within('the server', () => server.close({ deadlineMs: 50 }))
  t.deepEqual(done, { shutdown: 1 })
  await within('close', () => closed)
})

eachDriver(
  'what was written and what ended it are told that it was destroyed',
  async (t, stage) => {
    const failure = new Error('on purpose')
    for (const error of [undefined, failure]) {
      for (const ends of [false, true]) {
        const { near, far } = await streams(stage)
        near.on('error', (other: unknown) => t.is(other, error))
        const told: (NodeJS.ErrnoException | null | undefined)[] = []
        const all = new Promise<void>((resolve) => {
          near.on('close', resolve)
          const tell = (other?: Error | null) => {
            told.push(other)
            if (told.length === 2) resolve()
          }
          near.write(Buffer.alloc(30_000_000), tell)
          if (ends) near.end('x', tell)
          else near.write('x', tell)
        })
        near.destroy(error)
        await within('the callbacks', () => all)
        await new Promise((resolve) => setImmediate(resolve))
        t.is(told.length, 2)
        for (const each of told) {
          if (error === undefined) t.is(each?.code, 'ERR_STREAM_DESTROYED')
          else t.truthy(each)
        }
        far.destroy()
      }
    }
  },
)

eachDriver('destroy has what was written sent before', async (t, stage) => {
  const answer = Buffer.alloc(30_000, 'HTTP/1.1 400 Bad Request')
  const { port } = serve(running(stage), {
    open(conn) {
      const stream = conn.toStream()
      stream.once('data', () => {
        stream.write(answer)
        stream.destroy()
      })
    },
  })
  for (let count = 0; count < 20; count++) {
    const client = dial(stage, port)
    client.write('?')
    t.deepEqual(await client.rest(), answer)
    t.is(client.error, undefined)
    client.socket.destroy()
  }
})

type Greets = (stage: Stage, loop: EventLoop) => Promise<SocketAddress> | SocketAddress

/** Peers that say something to whoever comes, and end at once. */
const greeters: Record<string, Greets> = {
  async 'of Node’s'(stage) {
    const server = net.createServer((socket) => socket.on('error', () => {}).end('greeting'))
    stage.keep(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return server.address() as SocketAddress
  },
  'on the same loop': (_, loop) => serve(loop, { open: (conn) => conn.end('greeting') }).address,
}
for (const [whose, greets] of Object.entries(greeters)) {
  for (const borrow of [false, 'checked'] as const) {
    const title = `what a peer ${whose} says at once is there after connect, borrow: ${borrow}`
    eachDriver(title, async (t, stage) => {
      const loop = running(stage)
      const address = await greets(stage, loop)
      for (let count = 0; count < 300; count++) {
        const conn = await within('a connection', () => connect(loop, address, {}, { borrow }))
        const stream = conn.toStream()
        const closed = once(stream, 'close')
        // Whatever has come by now, this side is still open, as a socket's is until it has read the end.
        t.true(stream.writable)
        t.is(await textOf(stream), 'greeting')
        await within('close', () => closed)
      }
    })
  }
}

eachDriver('what connect has kept comes also if this side has ended', async (t, stage) => {
  const loop = running(stage)
  const address = await greeters['on the same loop']!(stage, loop)
  for (let count = 0; count < 100; count++) {
    const open = (conn: Connection) => conn.end()
    const conn = await within('a connection', () => connect(loop, address, { open }))
    const stream = conn.toStream()
    const closed = once(stream, 'close')
    t.is(await textOf(stream), 'greeting')
    await within('close', () => closed)
  }
})

eachDriver('connect keeps nothing for whoever comes later', async (t, stage) => {
  const loop = running(stage)
  const address = await greeters['on the same loop']!(stage, loop)
  let conn: Connection | undefined
  await within('close', async () => {
    await new Promise<void>((close) => {
      void connect(loop, address, { close: () => close() }).then((made) => (conn = made))
    })
    await new Promise((resolve) => setImmediate(resolve))
  })
  const stream = conn?.toStream().on('data', t.fail) as Duplex
  if (!stream.closed) await within('close', () => once(stream, 'close'))
  t.true(stream.destroyed)
})

eachDriver('nor in runSync, where nobody has a turn', async (t, stage) => {
  const loop = stage.open<string>()
  const { address } = serve(loop, { open: (conn) => conn.end('greeting') })
  for (let count = 0; count < 20; count++) {
    let closed = 0
    const handler = {
      close() {
        if (++closed === 2) loop.shutdown()
      },
    }
    let first: Connection | undefined
    void connect(loop, address, handler).then((made) => (first = made))
    // It may be that its peer has ended already, and that this side has not.
    while (first === undefined) await within('an iteration', () => loop.runOnce({}))
    const second = connect(loop, address, handler)
    const late = loop.timeoutMs('late', DEADLINE_MS)
    loop.runSync({ timeout: () => loop.shutdown() })
    t.true(loop.clearTimeout(late))
    t.is(closed, 2)
    const stream = (await second).toStream().on('data', t.fail)
    if (!stream.closed) await within('close', () => once(stream, 'close'))
    t.true(stream.destroyed)
  }
})

eachDriver('a connection and a socket of Node’s, by pipelines', async (t, stage) => {
  const { port } = serve(running(stage), {
    open(conn) {
      const stream = conn.toStream()
      void pipeline(stream, stream).catch(() => {})
    },
  })
  const client = dial(stage, port, { silent: true })
  const [from, into] = [source(5_000_000), sink()]
  await within('the pipelines', () =>
    Promise.all([pipeline(from.stream, client.socket), pipeline(client.socket, into.stream)]),
  )
  t.is(into.hash.digest('hex'), from.hash.digest('hex'))
})

eachDriver('this side may be ended beside the stream', async (t, stage) => {
  const { near, far, conns } = await streams(stage, { allowHalfOpen: true })
  conns[0]?.end('all')
  far.end()
  near.resume()
  const [text] = await Promise.all([
    textOf(far),
    within('the end of the stream', () => finished(near)),
  ])
  t.is(text, 'all')
})

eachDriver('what is kept for a stream is not read away by resume', async (t, stage) => {
  const server = net.createServer((socket) => void socket.end('greeting'))
  stage.keep(server)
  await within('the server', () => once(server.listen(0, '127.0.0.1'), 'listening'))
  const { port } = server.address() as net.AddressInfo
  const loop = running(stage)
  for (let time = 0; time < 50; time++) {
    const conn = await within('a connection', () =>
      connect(loop, `127.0.0.1:${port}`, { open: (conn) => conn.resume() }),
    )
    t.is(await textOf(conn.toStream()), 'greeting')
  }
})
