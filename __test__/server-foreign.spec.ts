/** Connections whose other end is socat's. */

import { EventLoop, TcpServer } from 'miolo'

import { within } from './support/deadline.ts'
import { drivers } from './support/drivers.ts'
import { needs } from './support/program.ts'
import { returnsToSocat } from './support/socat.ts'

for (const driver of drivers) {
  needs('socat')(`a server returns to socat what it sends (${driver})`, async (t) => {
    const loop = new EventLoop({ driver })
    t.teardown(() => loop.close())
    const reasons: string[] = []
    const server = new TcpServer(loop, {
      data: (conn, chunk) => conn.write(chunk) || conn.pause(),
      drain: (conn) => conn.resume(),
      close: (_, reason) => void reasons.push(reason),
    })
    const { port } = server.listen('127.0.0.1:0')
    void loop.run({})
    await returnsToSocat(t, port, 50)
    await within('the end', () => server.close())
    t.deepEqual(reasons, ['end'])
  })
}
