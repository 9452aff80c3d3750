/**
 * What a server makes of it that the system does not let it accept: for want of descriptors, which is real here, and
 * for other reasons, which strace makes up. Without strace, or where it may not trace, those are not tested, and the
 * log says so; with `MIOLO_REQUIRE_STRACE=1` that is a failure.
 */

import { setTimeout as sleep } from 'node:timers/promises'

import type { ExecutionContext } from 'ava'

import { type Driver, drivers } from './support/drivers.ts'
import { onLinux, onUnix } from './support/platform.ts'
import { Program } from './support/program.ts'
import { type Client, dial } from './support/servers.ts'
import { canTrace, strace } from './support/strace.ts'

/** Greets who comes, answers lines, and tells of itself who asks for its status. It ends with its standard input. */
const SERVER = `
  import { EventLoop, TcpServer } from 'miolo'
  const [, driver] = process.argv
  const loop = new EventLoop({ driver })
  const errors = []
  const server = new TcpServer(loop, {
    open: (conn) => conn.write('hello\\n'),
    data(conn, line) {
      if (String(line) !== 'status') return conn.write(line + '\\n')
      const { user, system } = process.cpuUsage()
      const { iterations } = loop.metrics()
      const open = server.connections.size
      conn.write(JSON.stringify({ errors, open, iterations, cpuMs: (user + system) / 1000 }) + '\\n')
    },
    error(error) {
      errors.push(error.code + ' ' + error.syscall)
      console.log('cannot ' + error.syscall + ': ' + error.code)
    },
  }, { framing: 'lines' })
  process.stdin.on('end', () => process.exit()).resume()
  console.log('port ' + server.listen('127.0.0.1:0').port)
  await loop.run({})
`

interface Status {
  /** What `error` was called with. */
  errors: string[]
  open: number
  iterations: number
  cpuMs: number
}

class Served {
  readonly program: Program
  readonly port: number
  readonly #t: ExecutionContext

  /** The server, started by a command that is to run another one. */
  static async start(t: ExecutionContext, driver: Driver, ...by: string[]): Promise<Served> {
    const node = [process.execPath, '--input-type=module', '--eval', SERVER, driver]
    const program = new Program([...by, ...node] as [string, ...string[]])
    t.teardown(() => program.close())
    const [, port] = await program.says(/port (\d+)/)
    return new Served(t, program, Number(port))
  }

  private constructor(t: ExecutionContext, program: Program, port: number) {
    this.program = program
    this.port = port
    this.#t = t
  }

  dial(): Client {
    const keep = <T extends { close(): unknown }>(client: T) => {
      this.#t.teardown(() => void client.close())
      return client
    }
    return dial({ keep }, this.port)
  }

  /** So many that are connected, and may be accepted. */
  crowd(size: number): Promise<Client[]> {
    return Promise.all(Array.from({ length: size }, () => this.dial().connected()))
  }

  async end(): Promise<void> {
    this.program.child.stdin?.end()
    this.#t.like(await this.program.ended(), { code: 0, stderr: '' })
  }
}

async function line(client: Client): Promise<string> {
  await client.until('a line', () => client.received.includes('\n'))
  return (await client.take(client.received.indexOf('\n') + 1)).toString().trimEnd()
}

async function ask(client: Client, question: string): Promise<string> {
  client.write(`${question}\n`)
  return line(client)
}

async function status(client: Client): Promise<Status> {
  return JSON.parse(await ask(client, 'status')) as Status
}

/** A while in which the loop has nothing to do but to try again, ten times a second. */
async function doesNotSpin(t: ExecutionContext, client: Client): Promise<Status> {
  const before = await status(client)
  const began = performance.now()
  // That nothing happens shows in time only.
  await sleep(500)
  const after = await status(client)
  const most = 3 * ((performance.now() - began) / 100 + 2)
  const iterations = after.iterations - before.iterations
  t.true(iterations <= most, `${iterations} iterations, at most ${most} expected`)
  const cpuMs = after.cpuMs - before.cpuMs
  t.true(cpuMs < 250, `${cpuMs} ms of computing`)
  return after
}

for (const driver of drivers) {
  onUnix(`without descriptors those who come wait, and nobody else does (${driver})`, async (t) => {
    const limited = ['sh', '-c', 'ulimit -n 64 && exec "$0" "$@"']
    const served = await Served.start(t, driver, ...limited)
    const first = served.dial()
    t.is(await line(first), 'hello')
    const others = await served.crowd(100)
    await served.program.says(/cannot accept: EMFILE/)

    const { errors, open } = await doesNotSpin(t, first)
    t.deepEqual(errors, ['EMFILE accept'])
    t.true(open > 1 && open < 64, `${open} are open`)
    const accepted = others.filter((client) => client.received.length > 0)
    t.is(accepted.length, open - 1)
    for (const client of accepted) {
      t.is(await line(client), 'hello')
      t.is(await ask(client, 'still served'), 'still served')
    }

    // Each who leaves makes room for another, who leaves as well.
    for (const client of accepted) client.socket.destroy()
    const waited = others.filter((client) => !accepted.includes(client))
    for (const client of waited) {
      t.is(await line(client), 'hello')
      client.socket.destroy()
    }
    const after = await status(first)
    t.deepEqual([...new Set(after.errors)], ['EMFILE accept'])
    // Told once for each time that there was room, and then none.
    t.true(after.errors.length <= 1 + others.length, `${after.errors.length} errors`)
    await served.end()
  })
}

/** The server under strace, which lets the calls of accept fail in this way; and how often it has. */
async function traced(
  t: ExecutionContext,
  driver: Driver,
  how: string,
): Promise<{ served: Served; injected(): number }> {
  const inject = ['-e', 'trace=accept4', '-e', `inject=accept4:${how}`]
  const { command, log } = strace(t, ...inject)
  const served = await Served.start(t, driver, ...command)
  return { served, injected: () => log().split('(INJECTED)').length - 1 }
}

/**
 * With `auto` either thread may accept, and strace counts the calls of each by itself: it may go well in between, and
 * what comes after that is told anew.
 */
const tellings = { thread: 1, embedded: 1, auto: 3 }

for (const driver of drivers) {
  for (const error of ['ECONNABORTED', 'EPROTO']) {
    onLinux(
      `one that has gone, ${error}, is told, and does not hold up the next (${driver})`,
      async (t) => {
        if (!canTrace(t)) return
        const { served, injected } = await traced(t, driver, `error=${error}:when=1+2`)
        const clients = await served.crowd(10)
        for (const client of clients) {
          t.is(await line(client), 'hello')
          t.is(await ask(client, 'served'), 'served')
        }
        const { errors, open } = await status(clients[0] as Client)
        t.is(open, clients.length)
        t.deepEqual([...new Set(errors)], [`${error} accept`])
        await served.end()
        // Each of them, and there are few.
        t.is(errors.length, injected())
        t.true(errors.length <= 30, `${errors.length} errors for ten`)
      },
    )
  }

  for (const error of ['ENOBUFS', 'ENFILE']) {
    onLinux(`a want of memory, ${error}, is told once and waited out (${driver})`, async (t) => {
      if (!canTrace(t)) return
      const { served, injected } = await traced(t, driver, `error=${error}:when=1..4`)
      for (const client of await served.crowd(10)) t.is(await line(client), 'hello')
      const { errors } = await status(await served.dial().connected().then(greeted))
      await served.end()
      t.deepEqual([...new Set(errors)], [`${error} accept`])
      t.true(errors.length <= tellings[driver], `${errors.length} times`)
      t.true(injected() >= 4)
    })

    onLinux(
      `while it lasts, ${error}, nothing spins, and others are served (${driver})`,
      async (t) => {
        if (!canTrace(t)) return
        // The first accepts one, the second finds that no other waits, and from then on there is no room.
        const { served } = await traced(t, driver, `error=${error}:when=3+`)
        const first = await greeted(served.dial())
        // Where each of two threads counts for itself, the second lets in two more.
        await served.crowd(4)
        await served.program.says(new RegExp(`cannot accept: ${error}`))
        const { errors } = await doesNotSpin(t, first)
        t.deepEqual([...new Set(errors)], [`${error} accept`])
        t.true(errors.length <= tellings[driver], `${errors.length} times`)
        await served.end()
      },
    )
  }
}

async function greeted(client: Client): Promise<Client> {
  await line(client)
  return client
}
