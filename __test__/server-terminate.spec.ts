/** Workers and processes that go while their servers are in mid-traffic: nothing is left behind, and every peer sees it. */

import { connect, type Socket } from 'node:net'

import test, { type ExecutionContext } from 'ava'

import { descriptors, loopThreads, threads } from './support/census.ts'
import { within } from './support/deadline.ts'
import { drivers } from './support/drivers.ts'
import { TestWorker } from './support/process.ts'
import { Program } from './support/program.ts'

/** A worker with an echo server. With `end`, it ends itself so once so much has come. */
const SERVER = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { EventLoop, TcpServer } = require('miolo')
  const { driver, way, loops, end } = workerData
  const loop = new EventLoop({ driver })
  let left = 100
  const server = new TcpServer(loop, {
    data(conn, chunk) {
      if (!conn.write(chunk)) conn.pause()
      if (--left !== 0) return
      if (end === 'close') loop.close()
      if (end === 'shutdown') loop.shutdown()
      if (end === 'exit') process.exit(7)
      if (end === 'throw') throw new Error('on purpose')
    },
    drain: (conn) => conn.resume(),
  }, { loops })
  parentPort.postMessage(server.listen('127.0.0.1:0').port)
  if (way === 'runSync') loop.runSync({})
  else loop.run({}).catch((error) => setImmediate(() => { throw error }))
`

/** A loop that turns alone is run either way. */
const shapes = [
  { way: 'run', loops: 1 },
  { way: 'runSync', loops: 1 },
  { way: 'run', loops: 2 },
] as const

const CLIENTS = 6

/** A client that sends, and sends again what comes back, until the other side goes. */
class Talker {
  readonly #socket: Socket
  readonly #closed: Promise<void>
  #count = 0
  #hasClosed = false
  #changed = () => {}

  constructor(t: ExecutionContext, port: number) {
    this.#socket = connect(port, '127.0.0.1')
    t.teardown(() => this.#socket.destroy())
    // How it ends, in order or by a reset, depends on what was on its way.
    this.#socket.on('error', () => {})
    this.#socket.on('data', (chunk) => {
      this.#socket.write(chunk)
      this.#count += chunk.length
      this.#changed()
    })
    this.#closed = new Promise((resolve) => {
      this.#socket.on('close', () => {
        this.#hasClosed = true
        this.#changed()
        resolve()
      })
    })
    this.#socket.write(Buffer.alloc(20_000))
  }

  /** Waits until so many bytes have come back. */
  heard(count: number): Promise<void> {
    return within(`${count} bytes`, async () => {
      while (this.#count < count) {
        if (this.#hasClosed) throw new Error(`closed after ${this.#count} of ${count} bytes`)
        await new Promise<void>((resolve) => (this.#changed = resolve))
      }
    })
  }

  /** Waits until the other side has gone. */
  gone(): Promise<void> {
    return within('the end of a client', () => this.#closed)
  }
}

function talk(t: ExecutionContext, port: number): Talker[] {
  return Array.from({ length: CLIENTS }, () => new Talker(t, port))
}

const heard = (talkers: Talker[], count: number) =>
  Promise.all(talkers.map((talker) => talker.heard(count)))
const gone = (talkers: Talker[]) => Promise.all(talkers.map((talker) => talker.gone()))

/** A server in a worker, and those who talk to it, all of them served. */
async function serve(t: ExecutionContext, workerData: object) {
  const worker = TestWorker.code(SERVER, { workerData, execArgv: [] })
  t.teardown(() => worker.close())
  const talkers = talk(t, await worker.message<number>())
  return { worker, talkers }
}

/** Does something many times, and sees that it leaves neither threads nor descriptors. */
async function leavesNothing(t: ExecutionContext, act: () => Promise<unknown>): Promise<void> {
  // What the first opens for all of them stays.
  await act()
  const before = { descriptors: descriptors(), threads: threads() }
  await act()
  t.deepEqual(loopThreads(), [])
  t.true(descriptors() <= before.descriptors, `${descriptors()} descriptors, ${before.descriptors}`)
  await within(`no more than ${before.threads} threads`, async () => {
    while (threads() > before.threads) await new Promise((resolve) => setTimeout(resolve, 5))
  })
}

for (const driver of drivers) {
  for (const { way, loops } of shapes) {
    const shape = `${driver}, ${way}, ${loops} ${loops === 1 ? 'loop' : 'loops'}`

    test.serial(`terminate() in mid-traffic leaves nothing behind (${shape})`, async (t) => {
      let amount = 1
      await leavesNothing(t, async () => {
        for (let time = 0; time < 5; time++) {
          const { worker, talkers } = await serve(t, { driver, way, loops })
          // At another moment each time.
          await heard(talkers, (amount += 7001))
          await worker.close()
          await gone(talkers)
        }
      })
    })

    test.serial(`workers come and go side by side (${shape})`, async (t) => {
      const one = async () => {
        for (let time = 0; time < 3; time++) {
          const { worker, talkers } = await serve(t, { driver, way, loops })
          await heard(talkers, 100_000)
          await worker.close()
          await gone(talkers)
        }
      }
      await leavesNothing(t, () => Promise.all([one(), one(), one()]))
    })

    for (const [end, code] of [
      ['close', 0],
      ['exit', 7],
      ['throw', 1],
      ['shutdown', 0],
    ] as const) {
      test.serial(`a worker may end by ${end} while it is served (${shape})`, async (t) => {
        await leavesNothing(t, async () => {
          const { worker, talkers } = await serve(t, { driver, way, loops, end })
          if (code === 1) await t.throwsAsync(worker.exit(), { message: /on purpose/ })
          else t.is(await worker.exit(), code)
          await gone(talkers)
        })
      })
    }
  }

  for (const loops of [1, 2]) {
    for (const when of ['in a callback', 'between callbacks']) {
      test.serial(
        `a process that exits ${when} ends its servers, and those of its workers (${driver}, ${loops})`,
        async (t) => {
          const source = `
            import { Worker } from 'node:worker_threads'
            import { EventLoop, TcpServer } from 'miolo'
            const [, code, driver, loops, when] = process.argv
            const loop = new EventLoop({ driver })
            let left = 200
            const server = new TcpServer(loop, {
              data(conn, chunk) {
                if (!conn.write(chunk)) conn.pause()
                if (--left !== 0) return
                if (when === 'in a callback') process.exit(9)
                else setImmediate(() => process.exit(9))
              },
              drain: (conn) => conn.resume(),
            }, { loops: Number(loops) })
            const ports = []
            for (const way of ['run', 'runSync']) {
              const workerData = { driver, way, loops: way === 'run' ? Number(loops) : 1 }
              const worker = new Worker(code, { eval: true, execArgv: [], workerData })
              worker.on('message', (port) => {
                if (ports.push(port) === 2) console.log('ports', ports.join(' '), server.listen('127.0.0.1:0').port)
              })
            }
            await loop.run({})`
          const node = [process.execPath, '--input-type=module', '--eval', source]
          const args = [SERVER, driver, String(loops), when]
          const program = new Program([...node, ...args] as [string, ...string[]])
          t.teardown(() => program.close())
          const [, ...ports] = await program.says(/ports (\d+) (\d+) (\d+)/)
          const [first, second, last] = ports.map(Number) as [number, number, number]
          const others = [...talk(t, first), ...talk(t, second)]
          await heard(others, 50_000)
          const talkers = [...others, ...talk(t, last)]
          t.like(await program.ended(), { code: 9, signal: null, stderr: '' })
          await gone(talkers)
        },
      )
    }
  }
}
