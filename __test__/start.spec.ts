import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'

import test, { type ExecutionContext } from 'ava'

import { within } from './support/deadline.ts'
import { onUnix } from './support/platform.ts'
import { needs, Program, typescript } from './support/program.ts'

/** socat has terminals to offer. */
const withTerminal = process.platform === 'linux' ? needs('socat') : test.serial.skip

const SERVES = /serves echo on 127\.0\.0\.1:(\d+)/
const READY = /Ctrl-C ends both\.\r?\n/

function start(
  t: ExecutionContext,
  address = '127.0.0.1:0',
  redisAddress = '127.0.0.1:0',
): Program {
  const program = new Program(typescript('examples/start.ts', address, redisAddress))
  t.teardown(() => program.close())
  return program
}

/** What the server at `port` makes of a text. */
async function echo(port: number, text: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  socket.end(text)
  return String(Buffer.concat(await within('the echo', () => socket.toArray())))
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  onUnix(`the tour, then echo, then a clean end by ${signal}`, async (t) => {
    const program = start(t)
    const [, port] = await program.says(SERVES)
    await program.says(READY)
    t.is(await echo(Number(port), 'hello'), 'hello')
    const [, keysPort] = await program.says(/serves keys on 127\.0\.0\.1:(\d+)/)
    t.is(await echo(Number(keysPort), 'PING\r\n'), '+PONG\r\n')

    const { stdout, ...end } = await program.end(signal)
    t.deepEqual(end, { code: 0, signal: null, stderr: '' })
    const expected = [
      'examples/base.ts',
      'the loop has run, and has stopped',
      'examples/timeout.ts',
      'timeout 123 after',
      'examples/notify.ts',
      'notified of 1',
      'notified of 2',
      'notified of 3',
      'examples/tick.ts',
      'wrote: one',
      'closed after 2 lines',
      `nc 127.0.0.1 ${port}`,
      `redis-cli -h 127.0.0.1 -p ${keysPort}`,
      'Shut down. Connections: 1, bytes: 5.',
    ]
    const places = expected.map((line) => stdout.indexOf(line))
    t.deepEqual(
      places,
      [...places].sort((a, b) => a - b),
      stdout,
    )
    t.false(places.includes(-1), stdout)
    // Nothing that only a terminal understands.
    t.false(stdout.includes('\r') || stdout.includes('\x1b'), stdout)
  })
}

onUnix('a clean end in the midst of the tour', async (t) => {
  const program = start(t)
  await program.says(/examples\/base\.ts/)
  const { code, signal, stderr } = await program.end('SIGINT')
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
})

test.serial('an address in use is told, and another way', async (t) => {
  const taken = createServer()
  t.teardown(() => taken.close())
  await once(taken.listen(0, '127.0.0.1'), 'listening')
  const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`

  const { code, stderr } = await start(t, address).ended()
  t.is(code, 1)
  t.is(stderr, inUse(address))
  const other = await start(t, '127.0.0.1:0', address).ended()
  t.is(other.code, 1)
  t.is(other.stderr, inUse(address))
})

function inUse(address: string): string {
  return `\n${address} is in use. Other addresses: npm start -- 127.0.0.1:8000 127.0.0.1:8001\n`
}

test.serial('what is no address is told', async (t) => {
  const { code, stderr } = await start(t, 'nowhere').ended()
  t.is(code, 1)
  t.regex(stderr, /^\nCannot serve echo on nowhere: .*must be an IP address and a port.*\n$/)
})

withTerminal('a terminal gets a line of metrics, and its Ctrl-C ends it', async (t) => {
  // socat runs it on a terminal of its own, where it types what we write.
  const shell = 'trap true INT; $START; echo exit code $?'
  const socat = ['socat', '-t', '60', '-', `SYSTEM:${shell},pty,setsid,ctty,echo=0,stderr`] as const
  const START = typescript('examples/start.ts', '127.0.0.1:0', '127.0.0.1:0').join(' ')
  const program = new Program(socat, { env: { START } })
  t.teardown(() => program.close())

  const [, port] = await program.says(SERVES)
  await program.says(READY)
  await program.says(/\r.\[Kconnections 0 · echoed 0 MB/)
  const text = 'x'.repeat(100_000)
  t.is(await echo(Number(port), text), text)
  await program.says(
    /\r.\[Kconnections 0 · echoed 0\.1 MB · turns [\d,]+, by the (JS|loop) thread · /,
  )

  program.child.stdin?.write('\x03')
  await program.says(/Shut down\. Connections: 1, bytes: 100,000\.\r\nexit code 0\r\n/)
})
