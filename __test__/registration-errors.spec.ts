import { EventSet, LoopError, PollOpt } from 'miolo'

import { eachDriver, eachWay } from './support/drivers.ts'
import { throwsCode } from './support/errors.ts'
import { idle, listen, nextReady, pair, say } from './support/sockets.ts'

const readable = EventSet.readable()
const edge = PollOpt.edge()

eachWay('registering twice is EEXIST, and the first registration stays', async (t, stage) => {
  const loop = stage.open<number>()
  const { client, server } = await pair(stage)
  loop.register(server, 1, readable, edge)
  const error = throwsCode(t, () => loop.register(server, 2, EventSet.all(), edge), 'EEXIST')
  t.like(error, { syscall: 'register' })
  say(client, 'a')
  t.deepEqual(await nextReady(stage, loop), [[1, 'Readable']])
})

eachDriver('what is not registered cannot be reregistered or deregistered', async (t, stage) => {
  const loop = stage.open()
  const { server } = await pair(stage)
  const reregister = () => loop.reregister(server, 1, readable, edge)
  const deregister = () => loop.deregister(server)
  throwsCode(t, reregister, 'ENOENT')
  throwsCode(t, deregister, 'ENOENT')

  loop.register(server, 1, readable, edge)
  loop.deregister(server)
  throwsCode(t, reregister, 'ENOENT')
  throwsCode(t, deregister, 'ENOENT')
  t.notThrows(() => loop.register(server, 1, readable, edge))
})

eachWay('a second loop refuses a socket until the first has let go of it', async (t, stage) => {
  const [first, second] = [stage.open<number>(), stage.open<number>()]
  const { client, server } = await pair(stage)
  first.register(server, 1, readable, edge)
  for (const refused of [
    () => second.register(server, 2, readable, edge),
    () => second.reregister(server, 2, readable, edge),
    () => second.deregister(server),
  ]) {
    throwsCode(t, refused, 'ERR_MIOLO_REGISTERED_ELSEWHERE', LoopError)
  }
  say(client, 'a')
  t.deepEqual(await nextReady(stage, first), [[1, 'Readable']])

  first.deregister(server)
  second.register(server, 2, readable, edge)
  t.deepEqual(await nextReady(stage, second), [[2, 'Readable']])
  t.deepEqual(await idle(stage, first), [])
})

eachWay('the sockets of a closed loop can be registered with another', async (t, stage) => {
  const [first, second] = [stage.open<number>(), stage.open<number>()]
  const { client, server } = await pair(stage)
  first.register(server, 1, readable, PollOpt.level())
  say(client, 'a')
  await nextReady(stage, first)
  first.close()
  second.register(server, 2, readable, PollOpt.level())
  t.deepEqual(await nextReady(stage, second), [[2, 'Readable']])
})

eachDriver('a socket that was closed while it was registered says so', (t, stage) => {
  const loop = stage.open()
  const listener = listen(stage)
  loop.register(listener, 1, readable, edge)
  listener.close()
  for (const refused of [
    () => loop.register(listener, 1, readable, edge),
    () => loop.reregister(listener, 1, readable, edge),
    () => loop.deregister(listener),
  ]) {
    throwsCode(t, refused, 'ERR_MIOLO_CLOSED', LoopError)
  }
})
