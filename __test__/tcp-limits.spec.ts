import { connect, type Socket } from 'node:net'

import { EventLoop, EventSet, PollOpt } from 'miolo'

import { descriptors } from './support/census.ts'
import { drivers, eachDriver, eachWay } from './support/drivers.ts'
import { onUnix } from './support/platform.ts'
import { Program } from './support/program.ts'
import { accepted, connect as connectTo, listen, pair } from './support/sockets.ts'

/** Accepts connections under a low limit of descriptors: at EMFILE it closes what it has, and goes on. */
const ACCEPTS = `
  import { EventLoop, EventSet, PollOpt, TcpListener } from 'miolo'
  const [, driver, mode, total] = process.argv
  const loop = new EventLoop({ driver })
  const listener = TcpListener.bind('127.0.0.1:0')
  const streams = []
  let accepted = 0
  let refusals = 0
  loop.register(listener, 1, EventSet.readable(), PollOpt[mode]())
  console.log('port ' + listener.localAddress().port)
  await loop.run({
    ready(loop) {
      for (;;) {
        try {
          const connection = listener.accept()
          if (connection === null) break
          streams.push(connection.stream)
          accepted++
        } catch (error) {
          if (error.code !== 'EMFILE' || error.syscall !== 'accept') throw error
          refusals++
          while (streams.length > 0) streams.pop().close()
          // An edge is told once, so the rest is for this ready; a level is told again.
          if (mode === 'level') break
        }
      }
      if (accepted === Number(total)) loop.shutdown()
    },
  })
  console.log(refusals > 0 ? 'refused, and recovered' : 'never refused')
`

onUnix('a loop without descriptors is EMFILE', async (t) => {
  const source = `
    import { EventLoop } from 'miolo'
    const loops = []
    try {
      for (;;) loops.push(new EventLoop())
    } catch (error) {
      console.log(error.code, error.syscall, error.errno < 0)
    }
    for (const loop of loops) loop.close()
    new EventLoop().close()
  `
  const program = new Program([
    ...['sh', '-c', 'ulimit -n 64 && exec "$0" --input-type=module --eval "$@"'],
    ...[process.execPath, source],
  ] as [string, ...string[]])
  t.teardown(() => program.close())
  await program.says(/EMFILE epoll_create true/)
  t.like(await program.ended(), { code: 0 })
})

for (const driver of drivers) {
  for (const mode of ['edge', 'level']) {
    onUnix(`accept without descriptors is EMFILE, and recovers (${driver}, ${mode})`, async (t) => {
      const limited = 'ulimit -n 64 && exec "$0" --input-type=module --eval "$@"'
      const total = 100
      const program = new Program([
        ...['sh', '-c', limited, process.execPath, ACCEPTS],
        ...[driver, mode, String(total)],
      ] as [string, ...string[]])
      t.teardown(() => program.close())
      const [, port] = await program.says(/port (\d+)/)
      const sockets = Array.from({ length: total }, (): Socket => {
        return connect(Number(port), '127.0.0.1').on('error', () => {})
      })
      t.teardown(() => sockets.forEach((socket) => socket.destroy()))
      await program.says(/refused, and recovered/)
      t.like(await program.ended(), { code: 0 })
    })
  }
}

eachDriver('closed sockets and loops leave no descriptor', async (t, stage) => {
  // What the first loop of a process opens for all of them stays.
  await new EventLoop({ driver: stage.driver }).runOnce({}, 0)
  const before = descriptors()
  for (let count = 0; count < 300; count++) {
    const loop = new EventLoop({ driver: stage.driver, eventCapacity: 16 })
    const { client, server } = await pair(stage)
    loop.register(server, 1, EventSet.readable(), PollOpt.level())
    client.close()
    await loop.run({ ready: (loop) => loop.shutdown() })
    if (count % 2 === 0) loop.close()
    server.close()
    loop.close()
  }
  t.true(descriptors() <= before, `${descriptors()} descriptors, and once ${before}`)
})

eachWay('more sockets are ready than the event ring holds', async (t, stage) => {
  const loop = stage.open<number>({ eventCapacity: 64 })
  const listener = listen(stage)
  const clients = Array.from({ length: 500 }, () => connectTo(stage, listener))
  const servers = []
  for (const _ of clients) servers.push(await accepted(stage, listener))
  t.is(listener.accept(), null)
  for (const [index, server] of servers.entries()) {
    loop.register(server, index, EventSet.readable(), PollOpt.edge())
  }
  for (const client of clients) client.write(Buffer.from('x'))
  const told = new Set<number>()
  loop.timeoutMs(0, 2000)
  await stage.run(loop, {
    ready(loop, token) {
      told.add(token)
      if (told.size === clients.length) loop.shutdown()
    },
    timeout: (loop) => loop.shutdown(),
  })
  t.is(told.size, clients.length)
})
