import { type EventLoop, EventSet, PollOpt, type TcpStream } from 'miolo'

import { eachWay, type RunStage } from './support/drivers.ts'
import { arrival, countDown, heard, idle, nextReady, pair, say } from './support/sockets.ts'

const readable = EventSet.readable()
const edge = PollOpt.edge()

/** Three registered sockets with input, which the next iteration finds all at once. */
async function threeReady(stage: RunStage, opt: PollOpt) {
  const loop = stage.open<number>()
  const pairs = await Promise.all([pair(stage), pair(stage), pair(stage)])
  for (const [token, { client, server }] of pairs.entries()) {
    loop.register(server, token, readable, opt)
    say(client, 'a')
  }
  const sockets = pairs.map(({ server }) => server)
  await arrival(sockets, { bytes: 1 })
  return { loop, sockets, pairs }
}

const silencers: Record<string, (loop: EventLoop<number>, socket: TcpStream) => void> = {
  deregister: (loop, socket) => loop.deregister(socket),
  close: (_, socket) => socket.close(),
  'an empty interest': (loop, socket) => loop.reregister(socket, 9, EventSet.none(), edge),
}

for (const [what, silence] of Object.entries(silencers)) {
  for (const opt of [edge, PollOpt.level(), PollOpt.oneshot()]) {
    eachWay(`${opt}: after ${what} in another's ready, nothing is told`, async (t, stage) => {
      const { loop, sockets } = await threeReady(stage, opt)
      const told: number[] = []
      loop.timeoutMs(20, 0)
      await stage.run(loop, {
        ready(loop, token) {
          told.push(token)
          for (const socket of sockets) silence(loop, socket)
        },
        timeout: countDown,
      })
      t.is(told.length, 1)
    })
  }

  eachWay(`after ${what} in its own ready, nothing is told`, async (t, stage) => {
    const { loop, sockets, pairs } = await threeReady(stage, PollOpt.level())
    const told = [0, 0, 0]
    loop.timeoutMs(20, 0)
    await stage.run(loop, {
      ready(loop, token) {
        told[token]!++
        silence(loop, sockets[token]!)
        if (!what.startsWith('close')) say(pairs[token]!.client, 'more')
      },
      timeout: countDown,
    })
    t.deepEqual(told, [1, 1, 1])
  })

  eachWay(`after ${what} in notify or timeout, nothing is told`, async (t, stage) => {
    for (const callback of ['notify', 'timeout'] as const) {
      const loop = stage.open<number>()
      const { client, server } = await pair(stage)
      loop.register(server, 1, readable, PollOpt.edge())
      const act = (loop: EventLoop<number>) => {
        silence(loop, server)
        if (what !== 'close') say(client, 'a')
      }
      if (callback === 'notify') loop.channel().send(0)
      loop.timeoutMs(20, 0)
      await stage.run(loop, {
        ready: () => t.fail(),
        notify: act,
        timeout(loop, left) {
          if (left === 20 && callback === 'timeout') act(loop)
          countDown(loop, left)
        },
      })
    }
    t.pass()
  })
}

eachWay('after reregister, nothing is told under the old token', async (t, stage) => {
  const { loop, sockets } = await threeReady(stage, edge)
  const told: number[] = []
  loop.timeoutMs(20, 0)
  await stage.run(loop, {
    ready(loop, token) {
      told.push(token)
      if (told.length > 1) return
      for (const [index, socket] of sockets.entries()) {
        loop.reregister(socket, 10 + index, readable, edge)
      }
    },
    timeout: countDown,
  })
  // The kernel tells again what reregister has dropped, so each is told once more.
  const [first, ...others] = told
  t.true(first! < 3)
  t.deepEqual(others.sort(), [10, 11, 12])
})

eachWay('registered anew in a callback, a socket is told under its new token', async (t, stage) => {
  const { loop, sockets } = await threeReady(stage, edge)
  const told: number[] = []
  loop.timeoutMs(20, 0)
  await stage.run(loop, {
    ready(loop, token) {
      told.push(token)
      if (told.length > 1) return
      for (const [index, socket] of sockets.entries()) {
        loop.deregister(socket)
        loop.register(socket, 10 + index, readable, edge)
      }
    },
    timeout: countDown,
  })
  t.deepEqual(told.slice(1).sort(), [10, 11, 12])
})

eachWay('a socket in the place of a closed one has nothing of it', async (t, stage) => {
  const loop = stage.open<number>()
  const spare = await pair(stage)
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, edge)
  say(client, 'a')
  await arrival(server, { bytes: 1 })
  loop.timeoutMs(20, 0)
  await stage.run(loop, { timeout: countDown, ready: () => server.close() })
  loop.register(spare.server, 2, readable, edge)
  t.deepEqual(await idle(stage, loop), [])
  say(spare.client, 'b')
  t.deepEqual(await nextReady(stage, loop), [[2, 'Readable']])
})

eachWay('among many sockets that come and go, no ready is stale', async (t, stage) => {
  const loop = stage.open<number>()
  const pairs = await Promise.all(Array.from({ length: 12 }, () => pair(stage)))
  /** The socket that each token stands for; a token is used for one registration only. */
  const current = new Map<number, number>()
  const tokens: (number | undefined)[] = Array.from(pairs, () => undefined)
  let next = 0
  let seed = 12_345
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    return (seed >>> 8) % below
  }
  const opts = [edge, PollOpt.level(), PollOpt.oneshot()]

  function change(index: number): void {
    const { server } = pairs[index]!
    const old = tokens[index]
    if (old !== undefined) current.delete(old)
    if (old !== undefined && random(2) === 0) {
      loop.deregister(server)
      tokens[index] = undefined
      return
    }
    const token = next++
    const opt = opts[random(opts.length)]!
    if (old === undefined) loop.register(server, token, readable, opt)
    else loop.reregister(server, token, readable, opt)
    tokens[index] = token
    current.set(token, index)
  }

  let readies = 0
  let rounds = 0
  loop.timeoutMs(0, 0)
  await stage.run(loop, {
    ready(_, token) {
      readies++
      const index = current.get(token)
      if (index === undefined) return t.fail(`${token} is stale`)
      if (random(2) === 0) heard(pairs[index]!.server)
      change(random(pairs.length))
    },
    timeout(loop) {
      for (let count = 0; count < 4; count++) {
        say(pairs[random(pairs.length)]!.client, 'x')
        change(random(pairs.length))
      }
      if (++rounds === 500) loop.shutdown()
      else loop.timeoutMs(0, 0)
    },
  })
  t.true(readies > 100, `${readies} readies`)
})
