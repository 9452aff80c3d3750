import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'

import test, { type ExecutionContext } from 'ava'

import { within } from './support/deadline.ts'
import { drivers } from './support/drivers.ts'
import { onUnix } from './support/platform.ts'
import { needs, Program, typescript } from './support/program.ts'
import { fingerprint, MEGABYTE, noise, returnsToSocat } from './support/socat.ts'

function example(t: ExecutionContext, name: string, ...args: string[]): Program {
  const program = new Program(typescript(`examples/${name}.ts`, ...args))
  t.teardown(() => program.close())
  return program
}

/** Runs an example to its end: the lines that it prints. */
async function lines(t: ExecutionContext, name: string): Promise<string[]> {
  const { code, signal, stdout, stderr } = await example(t, name).ended()
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' }, stdout)
  return stdout.trimEnd().split('\n')
}

test.serial('base', async (t) => {
  t.deepEqual(await lines(t, 'base'), ['the loop has run, and has stopped'])
})

test.serial('timeout', async (t) => {
  const [line, ...more] = await lines(t, 'timeout')
  const [, milliseconds] = /^timeout 123 after (\d+) ms$/.exec(line ?? '') ?? []
  t.true(Number(milliseconds) >= 100, line)
  t.deepEqual(more, [])
})

test.serial('notify', async (t) => {
  const notified = ['notified of 1', 'notified of 2', 'notified of 3']
  t.deepEqual(await lines(t, 'notify'), [...notified, 'shut down'])
})

test.serial('tick', async (t) => {
  t.deepEqual(await lines(t, 'tick'), [
    'wrote: one',
    'wrote: two, behind the message that quits',
    'closed after 2 lines',
  ])
})

test.serial('iteration', async (t) => {
  const told = await lines(t, 'iteration')
  // Which of two sockets is told first is the system's to say.
  const readies = told.splice(1, 2).sort()
  t.deepEqual(readies, [
    '1  ready        the client is Writable',
    '1  ready        the listener is Readable',
  ])
  t.deepEqual(told, [
    '1  interrupted  as by a signal',
    '1  notify       a question',
    '1  notify       behind the question',
    '1  timeout      due first',
    '1  timeout      due second',
    '1  tick         nothing of this iteration comes any more',
    '   shut down; run again',
    '2  notify       an answer',
    '2  tick         nothing of this iteration comes any more',
  ])
})

interface Echo {
  program: Program
  port: number
}

/** The example echo_server, on any free port. */
async function echoServer(t: ExecutionContext, driver = 'thread'): Promise<Echo> {
  return listening(example(t, 'echo_server', '127.0.0.1:0', driver))
}

async function listening(program: Program): Promise<Echo> {
  const [, port] = await program.says(/^listening on 127\.0\.0\.1:(\d+)$/m)
  return { program, port: Number(port) }
}

/** A client that must not fail. */
async function client(t: ExecutionContext, port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  await within('a connection', () => once(socket, 'connect'))
  return socket
}

/** Sends a text and waits until it has come back. */
async function talk(socket: Socket, text: string): Promise<string> {
  socket.write(text)
  return within(`the echo of ${text}`, async () => {
    let answer = ''
    while (answer.length < text.length) answer += String((await once(socket, 'data'))[0])
    return answer
  })
}

for (const driver of drivers) {
  test.serial(`echo_server answers whoever talks to it (${driver})`, async (t) => {
    const { port } = await echoServer(t, driver)
    const sockets = await Promise.all(Array.from({ length: 20 }, () => client(t, port)))
    for (const round of ['one', 'two', 'three']) {
      const said = sockets.map((_, index) => `${round} of ${index}`)
      t.deepEqual(
        await Promise.all(sockets.map((socket, index) => talk(socket, said[index]!))),
        said,
      )
    }
    const [first, ...others] = sockets as [Socket, ...Socket[]]
    first.end('last words')
    t.is(String(Buffer.concat(await within('the end', () => first.toArray()))), 'last words')
    t.is(await talk(others[0]!, 'still there'), 'still there')
  })

  onUnix(`echo_server ends with code 0 when it is asked to (${driver})`, async (t) => {
    const { program, port } = await echoServer(t, driver)
    const socket = await client(t, port)
    t.is(await talk(socket, 'hello'), 'hello')
    const { code, signal, stderr } = await program.end('SIGTERM')
    t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  })

  test.serial(`echo_server waits for a client that does not read (${driver})`, async (t) => {
    const { port } = await echoServer(t, driver)
    const slow = await client(t, port)
    slow.pause()
    const sent = pipeline(Readable.from(noise(64)), slow)
    const other = await client(t, port)
    t.is(await talk(other, 'and nobody else has to'), 'and nobody else has to')

    const received = within('the echo', () => fingerprint(slow))
    t.deepEqual(await received, await fingerprint(noise(64)))
    await sent
  })

  test.serial(`echo_server survives clients that reset (${driver})`, async (t) => {
    const { program, port } = await echoServer(t, driver)
    for (let count = 0; count < 10; count++) {
      const socket = await client(t, port)
      socket.on('error', () => {})
      socket.write(Buffer.alloc(MEGABYTE))
      socket.resetAndDestroy()
    }
    t.is(await talk(await client(t, port), 'still there'), 'still there')
    t.is(program.stderr, '')
  })

  needs('socat')(`echo_server returns 100 MB to socat unchanged (${driver})`, async (t) => {
    const { port } = await echoServer(t, driver)
    await returnsToSocat(t, port, 100)
  })
}

onUnix('echo_server goes on accepting after it was out of descriptors', async (t) => {
  const server = typescript('examples/echo_server.ts', '127.0.0.1:0')
  const program = new Program(['sh', '-c', 'ulimit -n 96 && exec "$@"', 'sh', ...server])
  t.teardown(() => program.close())
  const { port } = await listening(program)

  const sockets = await Promise.all(Array.from({ length: 120 }, () => client(t, port)))
  await program.says(/^cannot accept just now: accept EMFILE$/m)
  t.is(await talk(sockets[0]!, 'those inside go on'), 'those inside go on')
  const last = talk(sockets.at(-1)!, 'those outside get in')
  for (const socket of sockets.slice(0, 60)) socket.destroy()
  t.is(await last, 'those outside get in')
})

test.serial('echo_server says that its address is in use', async (t) => {
  const taken = createServer()
  t.teardown(() => taken.close())
  await once(taken.listen(0, '127.0.0.1'), 'listening')
  const { port } = taken.address() as AddressInfo

  const { code, stderr } = await example(t, 'echo_server', `127.0.0.1:${port}`).ended()
  t.is(code, 1)
  t.true(stderr.includes(`listen EADDRINUSE 127.0.0.1:${port}`), stderr)
})

test.serial('the programs in README.md print what stands below them', async (t) => {
  // Inside the package, so that they can import it by its name.
  const target = new URL('../target/', import.meta.url)
  mkdirSync(target, { recursive: true })
  const folder = mkdtempSync(join(fileURLToPath(target), 'readme-'))
  t.teardown(() => rmSync(folder, { recursive: true }))

  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const programs = [...readme.matchAll(/^```ts\n(.*?)^```\n(?:\n```text\n(.*?)^```)?/gms)]
  t.true(programs.length > 1)
  for (const [index, [, source, output]] of programs.entries()) {
    const file = join(folder, `${index}.ts`)
    writeFileSync(file, source ?? '')
    const program = new Program(typescript(file))
    t.teardown(() => program.close())
    const { code, signal, stdout, stderr } = await program.ended()
    t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' }, source)
    if (output !== undefined) t.is(stdout, output, source)
  }
})
