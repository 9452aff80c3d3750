import { EventSet, PollOpt } from 'miolo'

import { eachWay } from './support/drivers.ts'
import { heard, idle, nextReady, pair, say } from './support/sockets.ts'

const readable = EventSet.readable()
const edge = PollOpt.edge()

eachWay('a token is any integer from 0 to 2^53 − 1', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 7, readable, edge)
  for (const token of [
    0,
    1,
    2 ** 24,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53 - 2,
    2 ** 53 - 1,
  ]) {
    loop.reregister(server, token, readable, edge)
    say(client, 'a')
    t.deepEqual(await nextReady(stage, loop), [[token, 'Readable']])
    t.is(heard(server), 'a')
  }
})

eachWay('minus zero is told as zero', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, -0, readable, edge)
  say(client, 'a')
  const [ready] = await nextReady(stage, loop)
  t.true(ready?.[0] === 0)
})

eachWay('two sockets may share a token', async (t, stage) => {
  const loop = stage.open<number>()
  const [one, two] = [await pair(stage), await pair(stage)]
  loop.register(one.server, 5, readable, edge)
  loop.register(two.server, 5, readable, edge)
  say(one.client, 'a')
  t.deepEqual(await nextReady(stage, loop), [[5, 'Readable']])
  say(two.client, 'b')
  t.deepEqual(await nextReady(stage, loop), [[5, 'Readable']])

  loop.deregister(one.server)
  say(one.client, 'c')
  t.deepEqual(await idle(stage, loop), [])
  say(two.client, 'd')
  t.deepEqual(await nextReady(stage, loop), [[5, 'Readable']])
  t.is(heard(one.server), 'ac')
  t.is(heard(two.server), 'bd')
})
