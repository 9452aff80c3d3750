import { type EventLoop, EventSet, PollOpt } from 'miolo'

import { collect } from './support/collect.ts'
import { eachDriver, eachWay } from './support/drivers.ts'
import { pair, say } from './support/sockets.ts'

const callbacks = ['ready', 'notify', 'timeout', 'interrupted', 'tick'] as const

for (const callback of callbacks) {
  eachWay(`close in ${callback}: nothing is called after it, and run returns`, async (t, stage) => {
    const loop = stage.open<unknown, unknown>()
    const pairs = [await pair(stage), await pair(stage)]
    for (const { client, server } of pairs) {
      loop.register(server, 1, EventSet.all(), PollOpt.level())
      say(client, 'a')
    }
    for (let count = 0; count < 3; count++) {
      loop.channel().send(count)
      loop.timeoutMs(count, 0)
    }
    loop.interrupt()
    const close = (loop: EventLoop<unknown, unknown>) => {
      loop.close()
      loop.close()
    }
    const { handler, names } = collect<unknown, unknown>({ [callback]: close })
    await stage.run(loop, handler)
    t.is(names().indexOf(callback), names().length - 1)
    t.false(loop.isRunning())
    t.throws(() => loop.run({}), { code: 'ERR_MIOLO_CLOSED' })
    for (const { server } of pairs) t.is(server.read(Buffer.alloc(1)), 1)
  })
}

eachDriver('close in a runOnce that only looks: nothing is called after it', async (t, stage) => {
  const loop = stage.open<number>()
  for (let count = 0; count < 3; count++) loop.timeoutMs(count, 0)
  const { handler, calls } = collect<number>({ timeout: (loop) => loop.close() })
  while (calls.length === 0) await loop.runOnce(handler, 0)
  t.deepEqual(calls, [['timeout', 0]])
})

eachDriver('close from outside ends a run that sleeps', async (t, stage) => {
  const loop = stage.open<string>()
  loop.timeoutMs('never', 60_000)
  const { handler, names } = collect<string>()
  const running = loop.run(handler)
  setTimeout(() => loop.close(), 10)
  await running
  t.deepEqual(names(), [])
})

eachWay('closing one loop in a callback of another', async (t, stage) => {
  const [one, two] = [stage.open<string>(), stage.open<string>()]
  one.timeoutMs('one', 0)
  two.timeoutMs('two', 60_000)
  const other = stage.way === 'run' ? two.run({ timeout: () => t.fail() }) : undefined
  await stage.run(one, {
    timeout(loop) {
      two.close()
      loop.shutdown()
    },
  })
  await other
  t.throws(() => two.timeoutMs('late', 0), { code: 'ERR_MIOLO_CLOSED' })
})

eachDriver('closing twice, and disposing, is fine', (t, { open }) => {
  const loop = open()
  loop.close()
  loop.close()
  loop[Symbol.dispose]()
  t.false(loop.isRunning())
})
