import { EventSet, PollOpt } from 'miolo'

import { eachWay } from './support/drivers.ts'
import { arrival, heard, idle, nextReady, pair, say } from './support/sockets.ts'

const none = EventSet.none()
const readable = EventSet.readable()
const writable = EventSet.writable()

for (const opt of [PollOpt.edge(), PollOpt.level(), PollOpt.oneshot()]) {
  eachWay(`${opt}: an empty interest is told nothing, until reregister`, async (t, stage) => {
    const loop = stage.open<number>()
    const { client, server } = await pair(stage)
    loop.register(server, 1, none, opt)
    say(client, 'a')
    client.shutdown('write')
    await arrival(server, { bytes: 1, hasEnded: true })
    t.deepEqual(await idle(stage, loop), [])

    loop.reregister(server, 2, readable, opt)
    t.deepEqual(await nextReady(stage, loop), [[2, 'Readable | Hup']])
    loop.reregister(server, 3, none, opt)
    t.deepEqual(await idle(stage, loop), [])
    loop.reregister(server, 4, writable, opt)
    t.deepEqual(await nextReady(stage, loop), [[4, 'Writable | Hup']])
    loop.deregister(server)
    t.deepEqual(await idle(stage, loop), [])
  })
}

eachWay('what was not asked for is not told', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, writable, PollOpt.edge())
  t.deepEqual(await nextReady(stage, loop), [[1, 'Writable']])
  say(client, 'a')
  await arrival(server, { bytes: 1 })
  for (const [, events] of await idle(stage, loop)) t.is(events, 'Writable')

  loop.reregister(server, 2, readable, PollOpt.edge())
  t.deepEqual(await nextReady(stage, loop), [[2, 'Readable']])
})

eachWay('asking for more without a poll in between tells all of it', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, writable, PollOpt.edge())
  say(client, 'a')
  await arrival(server, { bytes: 1 })
  loop.reregister(server, 2, readable, PollOpt.edge())
  loop.reregister(server, 3, readable.union(writable), PollOpt.edge())
  t.deepEqual(await nextReady(stage, loop), [[3, 'Readable | Writable']])
})

eachWay('a hang-up is told to whoever asked for anything', async (t, stage) => {
  for (const [interest, told] of [
    [EventSet.hup(), 'Hup'],
    [EventSet.error(), 'Hup'],
    [writable, 'Writable | Hup'],
    [readable, 'Readable | Hup'],
    [EventSet.all(), 'Readable | Writable | Hup'],
  ] as const) {
    const loop = stage.open<number>()
    const { client, server } = await pair(stage)
    client.close()
    await arrival(server, { hasEnded: true })
    loop.register(server, 1, interest, PollOpt.edge())
    t.deepEqual(await nextReady(stage, loop), [[1, told]])
  }
})

eachWay('asking for hang-ups alone is told no input', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, EventSet.hup(), PollOpt.level())
  say(client, 'a')
  await arrival(server, { bytes: 1 })
  t.deepEqual(await idle(stage, loop), [])
  client.close()
  t.deepEqual(await nextReady(stage, loop), [[1, 'Hup']])
  t.is(heard(server), 'a')
})

eachWay('reregister may change the token alone', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, PollOpt.edge())
  loop.reregister(server, 2, readable, PollOpt.edge())
  say(client, 'a')
  t.deepEqual(await nextReady(stage, loop), [[2, 'Readable']])
})
