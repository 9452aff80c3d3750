/** With the smallest of event rings, nothing of a flood is lost or doubled. */

import { EventSet, PollOpt, type TcpStream, type TimeoutHandle } from 'miolo'

import { compute } from './support/compute.ts'
import { eachWay } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'
import { listen, pair } from './support/sockets.ts'

const TINY = { eventCapacity: 16 } as const

eachWay('timeouts', async (t, { open, run }) => {
  const count = 20_000
  const loop = open<number>({ ...TINY, timerCapacity: count })
  const seen = new Uint8Array(count)
  let delivered = 0
  for (let timeout = 0; timeout < count; timeout++) loop.timeoutMs(timeout, (timeout * 13) % 20)
  await run(loop, {
    timeout(loop, timeout) {
      seen[timeout] = (seen[timeout] as number) + 1
      if (++delivered === count) loop.shutdown()
    },
  })
  t.true(seen.every((times) => times === 1))
  t.true(loop.metrics().ring.highWater <= 16)
})

eachWay('messages', async (t, { open, run }) => {
  const count = 20_000
  const loop = open<unknown, number>({ ...TINY, messagesPerTick: 3, notifyCapacity: 100 })
  const sender = loop.channel()
  let sent = 0
  while (sent < 100) sender.send(sent++)
  let next = 0
  let wrong = 0
  await run(loop, {
    notify(loop, message) {
      if (message !== next++) wrong++
      if (sent < count) sender.send(sent++)
      if (next === count) loop.shutdown()
    },
  })
  t.is(wrong, 0)
})

eachWay('messages that never run out hold up no timeout', async (t, { open, run }) => {
  const loop = open<string, string>({ ...TINY, messagesPerTick: 16 })
  const sender = loop.channel()
  for (let count = 0; count < 400; count++) sender.send('again')
  loop.timeoutMs('again', 5)
  let timeouts = 0
  await run(loop, {
    notify() {
      compute(1)
      if (loop.isRunning()) sender.send('again')
    },
    timeout() {
      if (++timeouts === 5) loop.shutdown()
      else loop.timeoutMs('again', 5)
    },
  })
  t.is(timeouts, 5)
})

eachWay('timeouts that are cleared while they wait for room', async (t, { open, run }) => {
  const loop = open<number>(TINY)
  const count = 200
  loop.timeoutMs(-1, 0)
  const handles = Array.from({ length: count }, (_, index) =>
    loop.timeoutMs(index, 1 + (index % 5)),
  )
  const seen = new Set<number>()
  await run(loop, {
    timeout(loop, timeout) {
      if (timeout === -1) {
        compute(20)
        for (let odd = 1; odd < count; odd += 2)
          t.true(loop.clearTimeout(handles[odd] as TimeoutHandle))
        loop.timeoutMs(count, 20)
      } else if (timeout === count) loop.shutdown()
      else {
        t.false(seen.has(timeout))
        seen.add(timeout)
      }
    },
  })
  t.is(seen.size, count / 2)
  for (const timeout of seen) t.is(timeout % 2, 0)
})

eachWay('readiness of more sockets than the ring has places', async (t, stage) => {
  const loop = stage.open(TINY)
  const count = 60
  const rounds = 20
  const pairs: { client: TcpStream; server: TcpStream }[] = []
  for (let token = 0; token < count; token++) {
    const { client, server } = await pair(stage)
    pairs.push({ client, server })
    loop.register(client, token, EventSet.readable(), PollOpt.edge())
    server.write(Buffer.from('x'))
  }
  const buffer = new Uint8Array(16)
  let bytes = 0
  const wanted = count * rounds
  const perSocket = new Uint16Array(count)
  await stage.run(loop, {
    ready(loop, token, events) {
      t.true(events.isReadable())
      const { client, server } = pairs[token] as (typeof pairs)[0]
      // An edge may come once more for what has been read already.
      const read = client.read(buffer)
      if (read === null) return
      t.is(read, 1)
      bytes++
      perSocket[token] = (perSocket[token] as number) + 1
      if ((perSocket[token] as number) < rounds) server.write(Buffer.from('x'))
      if (bytes === wanted) loop.shutdown()
    },
  })
  t.true(perSocket.every((each) => each === rounds))
  // The other half is for messages and timeouts.
  t.true(loop.metrics().ring.highWater <= TINY.eventCapacity / 2)
})

/** Sends a byte on each of its connections, whenever the number that it shares has grown by one, until that is negative. */
const CROWD = `
  const { parentPort, workerData } = require('node:worker_threads')
  const net = require('node:net')
  const { port, count, round } = workerData
  const dial = () =>
    new Promise((resolve) => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(socket))
    })
  Promise.all(Array.from({ length: count }, dial)).then((sockets) => {
    for (let last = 0; ; last++) {
      // It may be woken by what was told of the number that it has just seen.
      while (Atomics.load(round, 0) === last) Atomics.wait(round, 0, last)
      if (Atomics.load(round, 0) < 0) break
      for (const socket of sockets) socket.write('x')
    }
    process.exit()
  })
`

eachWay('readiness that finds no room is told as soon as there is some', async (t, stage) => {
  const count = 40
  const rounds = 1500
  const loop = stage.open(TINY)
  const listener = listen(stage)
  const round = new Int32Array(new SharedArrayBuffer(4))
  const { port } = listener.localAddress()
  stage.keep(TestWorker.code(CROWD, { workerData: { port, count, round }, execArgv: [] }))
  const streams: TcpStream[] = []
  loop.register(listener, count, EventSet.readable(), PollOpt.edge())
  const buffer = new Uint8Array(16)
  let bytes = 0
  const next = (value: number): void => {
    Atomics.store(round, 0, value)
    Atomics.notify(round, 0)
  }
  await stage.run(loop, {
    ready(loop, token) {
      if (token === count) {
        for (let each = listener.accept(); each !== null; each = listener.accept()) {
          stage.keep(each.stream)
          loop.register(each.stream, streams.length, EventSet.readable(), PollOpt.edge())
          streams.push(each.stream)
        }
        if (streams.length === count && bytes === 0) next(1)
        return
      }
      const stream = streams[token] as TcpStream
      while (stream.read(buffer) !== null) bytes++
      // Nothing else comes before the last of them has been told.
      if (bytes === count * rounds) loop.shutdown()
      else if (bytes % count === 0 && bytes / count === Atomics.load(round, 0)) {
        next(bytes / count + 1)
      }
    },
  })
  next(-1)
  t.is(bytes, count * rounds)
})

eachWay('readiness that never runs out holds up no timeout', async (t, stage) => {
  const loop = stage.open<number>()
  const sockets: TcpStream[] = []
  for (let each = 0; each < 16; each++) {
    const { client, server } = await pair(stage)
    sockets.push(client, server)
    server.write(Buffer.from('x'))
  }
  for (const [token, socket] of sockets.entries()) {
    loop.register(socket, token, EventSet.readable(), PollOpt.edge())
  }
  const goal = 20
  for (let timeout = 1; timeout <= goal; timeout++) loop.timeoutMs(timeout, 5 * timeout)
  const buffer = new Uint8Array(16)
  const came: number[] = []
  await stage.run(loop, {
    ready(_, token) {
      const socket = sockets[token] as TcpStream
      // What it answers comes back before JavaScript is through with the others.
      compute(0.3)
      while (socket.read(buffer) !== null) socket.write(Buffer.from('x'))
    },
    timeout(loop, timeout) {
      came.push(timeout)
      if (timeout === goal) loop.shutdown()
    },
  })
  t.deepEqual(
    came,
    Array.from({ length: goal }, (_, index) => index + 1),
  )
})

eachWay('level readiness of more sockets than the ring has places', async (t, stage) => {
  const loop = stage.open(TINY)
  const count = 40
  const seen = new Uint16Array(count)
  for (let token = 0; token < count; token++) {
    const { client } = await pair(stage)
    loop.register(client, token, EventSet.writable(), PollOpt.level())
  }
  await stage.run(loop, {
    ready(loop, token) {
      seen[token] = (seen[token] as number) + 1
      if (seen.every((times) => times >= 5)) loop.shutdown()
    },
  })
  t.pass()
})

eachWay('everything at once', async (t, stage) => {
  const loop = stage.open<number, number>({
    ...TINY,
    messagesPerTick: 7,
    notifyCapacity: 50,
    timerCapacity: 50,
  })
  const sockets = 12
  const goal = 2000
  const pairs: { client: TcpStream; server: TcpStream }[] = []
  for (let token = 0; token < sockets; token++) {
    const { client, server } = await pair(stage)
    pairs.push({ client, server })
    const opt = [PollOpt.edge(), PollOpt.level(), PollOpt.edge().union(PollOpt.oneshot())][
      token % 3
    ]
    loop.register(client, token, EventSet.readable(), opt as PollOpt)
    server.write(Buffer.from('x'))
  }
  const sender = loop.channel()
  for (let each = 0; each < 50; each++) {
    sender.send(each)
    loop.timeoutMs(each, each % 3)
  }
  const count = { ready: 0, notify: 0, timeout: 0, interrupted: 0 }
  const buffer = new Uint8Array(8)
  let nextMessage = 0
  await stage.run(loop, {
    ready(loop, token) {
      const { client, server } = pairs[token] as (typeof pairs)[0]
      while (client.read(buffer) !== null) count.ready++
      server.write(Buffer.from('x'))
      if (token % 3 === 2) {
        const opt = PollOpt.edge().union(PollOpt.oneshot())
        loop.reregister(client, token, EventSet.readable(), opt)
      }
    },
    notify(loop, message) {
      t.is(message, nextMessage++ % 50)
      sender.send(message)
      if (++count.notify % 100 === 0) loop.interrupt()
    },
    timeout(loop, timeout) {
      count.timeout++
      loop.timeoutMs(timeout, timeout % 3)
    },
    interrupted() {
      count.interrupted++
    },
    tick(loop) {
      if (
        count.ready > goal &&
        count.notify > goal &&
        count.timeout > goal &&
        count.interrupted > 5
      ) {
        loop.shutdown()
      }
    },
  })
  t.true(count.ready > goal)
})
