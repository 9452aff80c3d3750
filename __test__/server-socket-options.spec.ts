/**
 * What options say of the sockets of connections reaches the system. strace tells what is asked of it: without it, or
 * where it may not trace, nothing is tested, and the log says so; with `MIOLO_REQUIRE_STRACE=1` that is a failure.
 */

import type { ConnectOptions, ServerOptions } from 'miolo'

import { drivers } from './support/drivers.ts'
import { onLinux } from './support/platform.ts'
import { Program } from './support/program.ts'
import {
  type AskedOfSockets,
  askedOfSockets,
  canTrace,
  SOCKET_CALLS,
  strace,
} from './support/strace.ts'

/** A server, and a connection to it, until both ends are open. */
const PROGRAM = `
  import { connect, EventLoop, TcpServer } from 'miolo'
  const [, driver, serverOptions, connectOptions] = process.argv
  const loop = new EventLoop({ driver })
  let ends = 0
  const open = () => ++ends === 2 && loop.shutdown()
  const server = new TcpServer(loop, { open }, JSON.parse(serverOptions))
  const address = server.listen('127.0.0.1:0')
  connect(loop, address, { open }, JSON.parse(connectOptions))
  await loop.run({})
  loop.close()
`

const probesAfter = (seconds: number) => ['SO_KEEPALIVE 1', `TCP_KEEPIDLE ${seconds}`]

const cases: { server: ServerOptions; client: ConnectOptions; expected: AskedOfSockets }[] = [
  {
    server: {},
    client: { noDelay: false, keepAlive: 77 },
    expected: { backlogs: [1024], accepted: ['TCP_NODELAY 1'], connected: probesAfter(77) },
  },
  {
    server: { noDelay: false, keepAlive: 88, backlog: 9 },
    client: {},
    expected: { backlogs: [9], accepted: probesAfter(88), connected: ['TCP_NODELAY 1'] },
  },
]

for (const driver of drivers) {
  onLinux(`noDelay, keepAlive and backlog reach the system (${driver})`, async (t) => {
    if (!canTrace(t)) return
    for (const { server, client, expected } of cases) {
      const { command, log } = strace(t, '-e', SOCKET_CALLS)
      const node = [process.execPath, '--input-type=module', '--eval', PROGRAM, driver]
      const program = new Program([...command, ...node, ...[server, client].map(toJson)])
      t.teardown(() => program.close())
      t.like(await program.ended(), { code: 0, stderr: '' })
      t.deepEqual(askedOfSockets(log()), expected)
    }
  })
}

function toJson(value: unknown): string {
  return JSON.stringify(value)
}
