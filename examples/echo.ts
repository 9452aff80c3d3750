// An echo server, by connections: `nc 127.0.0.1 7000`.

import { EventLoop, TcpServer } from 'miolo'

const loop = new EventLoop()
const server = new TcpServer(loop, {
  // Whoever does not read what comes back is not read from, either.
  data: (conn, chunk) => conn.write(chunk) || conn.pause(),
  drain: (conn) => conn.resume(),
})
const { address, port } = server.listen(process.argv[2] ?? '127.0.0.1:7000')
console.log(`listening on ${address}:${port}`)
process.once('SIGINT', () => server.close({ deadlineMs: 1000 }).then(() => loop.shutdown()))
await loop.run({})
