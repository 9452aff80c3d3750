/** What is asked of connections by code that goes on computing: a thread sees to it meanwhile, where there is one. */

import { type Connection, type EventLoop } from 'miolo'

import { compute } from './support/compute.ts'
import { deferred, within } from './support/deadline.ts'
import { eachDriver, type Stage } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'
import { dial, journal, running, serve } from './support/servers.ts'

const COMPUTE_MS = 1500

/** Two clients on a thread of their own: the first sends something when it is told to, and both say what comes when. */
const CLIENTS = `
  const { parentPort, workerData: port } = require('node:worker_threads')
  const net = require('node:net')
  const dial = () => net.connect(port, '127.0.0.1').on('error', () => {})
  const sockets = [dial(), dial()]
  for (const [index, socket] of sockets.entries()) {
    socket.on('data', (data) => parentPort.postMessage([index, String(data), Date.now()]))
    socket.on('close', () => parentPort.postMessage([index, 'closed', Date.now()]))
  }
  parentPort.on('message', () => sockets[0].write('go'))
`

interface Scene {
  loop: EventLoop<number, number>
  conns: Connection[]
  /** To be set: what a callback does. */
  on: { data(conn: Connection): unknown; notify(): void; timeout(): void }
  /** Has the first client send something. */
  prompt(): void
}

/** A place where `act` is called. */
type Place = (scene: Scene, act: () => void) => void

const PLACES: Record<string, Place> = {
  'in data': ({ on, prompt }, act) => {
    on.data = act
    prompt()
  },
  'after a flush': ({ on, conns, prompt }, act) => {
    on.data = () => {
      conns[1]?.pause()
      conns[0]?.flush()
      act()
    }
    prompt()
  },
  'in a batch after another': ({ loop, conns, on, prompt }, act) => {
    on.data = () => {
      conns[1]?.pause()
      loop.channel().send(1)
    }
    on.notify = act
    prompt()
  },
  'in notify': ({ loop, on }, act) => {
    on.notify = act
    loop.channel().send(1)
  },
  'in timeout': ({ loop, on }, act) => {
    on.timeout = act
    loop.timeoutMs(1, 20)
  },
  'after an await': ({ on, prompt }, act) => {
    on.data = async () => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      act()
    }
    prompt()
  },
  'outside of callbacks': (_, act) => {
    setTimeout(act, 20)
  },
}

/** Sees when the two clients see what is done by code that then computes. */
async function watch(stage: Stage, place: Place, act: (conn: Connection) => void, loops = 1) {
  const loop = stage.open<number, number>()
  const on: Scene['on'] = { data: () => {}, notify() {}, timeout() {} }
  const log = journal({ data: (conn) => on.data(conn) as void })
  void loop.run({ notify: () => on.notify(), timeout: () => on.timeout() })
  const { port } = serve(loop, log.handler, { loops })
  const clients = stage.keep(TestWorker.code(CLIENTS, { workerData: port, execArgv: [] }))
  await log.opened(1)
  const conns = log.lives.map(({ conn }) => conn)
  const computed = deferred<number>()
  place({ loop, conns, on, prompt: () => clients.worker.postMessage('go') }, () => {
    on.data = on.notify = on.timeout = () => {}
    for (const conn of conns) act(conn)
    compute(COMPUTE_MS)
    computed.resolve(Date.now())
  })
  const until = await within('the computation', () => computed.promise)
  const seen: [what: string, early: boolean][] = []
  for (let count = 0; count < 2; count++) {
    const [, what, at] = await clients.message<[number, string, number]>()
    seen.push([what, at < until])
  }
  return seen
}

for (const [name, place] of Object.entries(PLACES)) {
  eachDriver(`what is written ${name} leaves`, async (t, stage) => {
    const seen = await watch(stage, place, (conn) => conn.write('written'))
    const early = stage.driver !== 'embedded'
    t.deepEqual(seen, [
      ['written', early],
      ['written', early],
    ])
  })
}

eachDriver('so do ends', async (t, stage) => {
  const seen = await watch(stage, PLACES['in data'] as Place, (conn) => conn.abort())
  const early = stage.driver !== 'embedded'
  t.deepEqual(seen, [
    ['closed', early],
    ['closed', early],
  ])
})

eachDriver('what is corked leaves together, however long it takes', async (t, stage) => {
  const write = (conn: Connection) =>
    conn.cork(() => {
      conn.write('one ')
      conn.cork(() => compute(100))
      conn.write('two')
    })
  const seen = await watch(stage, PLACES['in data'] as Place, write)
  t.deepEqual(
    seen.map(([what]) => what),
    ['one two', 'one two'],
  )
})

eachDriver('so it does on another loop of the server', async (t, stage) => {
  const write = (conn: Connection) => void conn.write('written')
  const seen = await watch(stage, PLACES['in data'] as Place, write, 2)
  // That one has a thread, whatever turns the first.
  t.is(seen.filter(([, early]) => early).length, stage.driver === 'embedded' ? 1 : 2)
})

eachDriver('messages and timeouts keep their order', async (t, stage) => {
  const calls: string[] = []
  const done = deferred<void>()
  const loop = stage.open<string, string>()
  void loop.run({
    notify: (_, message) => void calls.push(message),
    timeout(_, name) {
      calls.push(name)
      if (calls.length === 3) done.resolve()
    },
  })
  const { port } = serve(loop, {
    data(conn) {
      loop.channel().send('message')
      loop.timeoutMs('later', 60)
      conn.write('x')
      loop.timeoutMs('soon', 0)
      compute(150)
    },
  })
  dial(stage, port).write('go')
  await within('the timeouts', () => done.promise)
  t.deepEqual(calls, ['message', 'soon', 'later'])
})

eachDriver('so they do where the first server is made after them', async (t, stage) => {
  const calls: string[] = []
  const done = deferred<void>()
  const loop = stage.open<string, string>()
  loop.timeoutMs('begin', 1)
  void loop.run({
    notify: (_, message) => void calls.push(message),
    timeout(_, name) {
      if (name !== 'begin') {
        calls.push(name)
        return done.resolve()
      }
      loop.channel().send('message')
      loop.timeoutMs('soon', 0)
      serve(loop, {})
      loop.timeoutMs('last', 1000)
      compute(100)
    },
  })
  await within('the timeout', () => done.promise)
  t.deepEqual(calls, ['message', 'soon'])
})

eachDriver('what is written between pauses comes once, in order', async (t, stage) => {
  const WRITES = 60
  const { port } = serve(running(stage), {
    data(conn, chunk) {
      // About as long as it takes until a thread no longer waits for what is published.
      for (let index = 0; index < WRITES; index++) {
        conn.write(`${chunk}${index} `)
        if (index % 4 === 0) compute(Math.random() * 12)
      }
    },
  })
  const names = ['a', 'b', 'c', 'd']
  const clients = await Promise.all(names.map(() => dial(stage, port).connected()))
  for (const [index, client] of clients.entries()) client.write(names[index] as string)
  for (const [index, client] of clients.entries()) {
    const expected = Array.from({ length: WRITES }, (_, count) => `${names[index]}${count} `)
    const whole = expected.join('')
    t.is(String(await client.take(whole.length)), whole)
  }
})
