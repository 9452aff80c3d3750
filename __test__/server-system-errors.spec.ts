/**
 * What connections make of it that the system lets a read or a write fail, which strace makes up. Without strace, or
 * where it may not trace, that is not tested, and the log says so; with `MIOLO_REQUIRE_STRACE=1` that is a failure.
 */

import { drivers } from './support/drivers.ts'
import { onLinux } from './support/platform.ts'
import { Program } from './support/program.ts'
import { type Client, dial } from './support/servers.ts'
import { canTrace, strace } from './support/strace.ts'

/** Answers, and says why each connection has ended. It ends with its standard input. */
const SERVER = `
  import { EventLoop, TcpServer } from 'miolo'
  const [, driver] = process.argv
  const loop = new EventLoop({ driver })
  const server = new TcpServer(loop, {
    data: (conn, chunk) => conn.write(chunk),
    close: (conn, reason, error) => console.log('closed: ' + reason + ' ' + error?.code + '.'),
  })
  process.stdin.on('end', () => process.exit()).resume()
  console.log('port ' + server.listen('127.0.0.1:0').port)
  await loop.run({})
`

/** What fails, and what the connection is closed for then. */
const CASES: [call: string, error: string, closed: string][] = [
  ['recvfrom', 'ETIMEDOUT', 'error ETIMEDOUT'],
  ['recvfrom', 'ECONNRESET', 'reset undefined'],
  ['sendto', 'ENOBUFS', 'error ENOBUFS'],
  // To a writer, that is how a reset looks.
  ['sendto', 'EPIPE', 'reset undefined'],
]

/** Whether another byte is answered as well as the first. */
async function isServed(client: Client): Promise<boolean> {
  client.write('y')
  const isOver = () => client.hasEnded || client.error !== undefined
  await client.until('answers, or the end', () => client.received.length === 2 || isOver())
  return client.received.length === 2
}

for (const driver of drivers) {
  for (const [call, error, closed] of CASES) {
    onLinux(`${call} that fails for ${error} ends that connection (${driver})`, async (t) => {
      if (!canTrace(t)) return
      const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:error=${error}:when=3`]
      const { command } = strace(t, ...inject)
      const node = [process.execPath, '--input-type=module', '--eval', SERVER, driver]
      const program = new Program([...command, ...node] as [string, ...string[]])
      t.teardown(() => program.close())
      const [, port] = await program.says(/port (\d+)/)
      const keep = <T extends { close(): unknown }>(client: T) => {
        t.teardown(() => void client.close())
        return client
      }
      const clients = Array.from({ length: 5 }, () => dial({ keep }, Number(port)))
      for (const client of clients) client.write('x')
      const [, why] = await program.says(/closed: (.*)\./)
      t.is(why, closed)
      // With `auto` either thread may make the call, and strace counts those of each by itself.
      const most = driver === 'auto' ? 2 : 1
      const served = await Promise.all(clients.map(isServed))
      const count = served.filter((it) => !it).length
      t.true(count >= 1 && count <= most, `${count} have ended`)
      program.child.stdin?.end()
      t.like(await program.ended(), { code: 0, stderr: '' })
    })
  }
}
