/**
 * What is set on sockets by readiness reaches the system. strace tells what is asked of it: without it, or where it may
 * not trace, that is not tested, and the log says so; with `MIOLO_REQUIRE_STRACE=1` it is a failure.
 */

import { eachDriver } from './support/drivers.ts'
import { onLinux } from './support/platform.ts'
import { Program } from './support/program.ts'
import { accepted, connect, listen, pair, readSoon, say } from './support/sockets.ts'
import { askedOfSockets, canTrace, SOCKET_CALLS, strace } from './support/strace.ts'

/** Three listeners, and a connection to the first, with everything set on both of its ends. */
const PROGRAM = `
  import { setImmediate as turn } from 'node:timers/promises'
  import { TcpListener, TcpStream } from 'miolo'
  const [listener] = [{}, { backlog: 9 }, { backlog: 0 }].map((options) =>
    TcpListener.bind('127.0.0.1:0', options))
  const client = TcpStream.connect(listener.localAddress())
  let accepted
  while ((accepted = listener.accept()) === null) await turn()
  for (const stream of [client, accepted.stream]) {
    for (const on of [true, false]) stream.setNodelay(on)
    for (const seconds of [77, null]) stream.setKeepalive(seconds)
    for (const seconds of [5, 0, null]) stream.setLinger(seconds)
  }
`

const SET = [
  ...['TCP_NODELAY 1', 'TCP_NODELAY 0'],
  ...['SO_KEEPALIVE 1', 'TCP_KEEPIDLE 77', 'SO_KEEPALIVE 0'],
  ...[
    'SO_LINGER l_onoff=1, l_linger=5',
    'SO_LINGER l_onoff=1, l_linger=0',
    'SO_LINGER l_onoff=0, l_linger=0',
  ],
]

onLinux('backlog, setNodelay, setKeepalive and setLinger reach the system', async (t) => {
  if (!canTrace(t)) return
  const { command, log } = strace(t, '-e', SOCKET_CALLS)
  const node = [process.execPath, '--input-type=module', '--eval', PROGRAM]
  const program = new Program([...command, ...node])
  t.teardown(() => program.close())
  t.like(await program.ended(), { code: 0, stderr: '' })
  t.deepEqual(askedOfSockets(log()), { backlogs: [1024, 9, 0], accepted: SET, connected: SET })
})

eachDriver('options can be set on a connection, which still works', async (t, stage) => {
  const { client, server } = await pair(stage)
  for (const stream of [client, server]) {
    stream.setNodelay(true)
    stream.setNodelay(false)
    stream.setKeepalive(60)
    stream.setKeepalive(null)
    stream.setLinger(5)
    stream.setLinger(0)
    stream.setLinger(null)
    t.is(stream.takeError(), null)
  }
  say(client, 'still there')
  t.is(await readSoon(server), 'still there'.length)
})

eachDriver('a backlog can be given', async (t, stage) => {
  const listener = listen(stage, '127.0.0.1:0', { backlog: 1 })
  connect(stage, listener)
  t.truthy(await accepted(stage, listener))
})
