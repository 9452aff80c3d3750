// A chat: every line goes to everybody else.
//
//   chat.ts [ADDRESS]         127.0.0.1:7002, unless said otherwise
//   nc 127.0.0.1 7002         in as many terminals as you like; the first line is your name

import { type Connection, EventLoop, TcpServer } from 'miolo'

interface Guest {
  name?: string
}

const loop = new EventLoop()
const server = new TcpServer<Guest>(
  loop,
  {
    open(conn) {
      conn.state = {}
      conn.write('Your name?\n')
    },
    data(conn, line) {
      const text = line.toString().trim()
      if (conn.state.name === undefined) {
        conn.state.name = text || 'somebody'
        conn.write(`Welcome, ${conn.state.name}. ${server.connections.size} are here.\n`)
        tell(conn, `${conn.state.name} has come`)
      } else tell(conn, `${conn.state.name}: ${text}`)
    },
    close(conn, reason) {
      if (conn.state.name !== undefined) tell(conn, `${conn.state.name} has gone (${reason})`)
    },
  },
  // Nobody may keep the others from talking, nor stay away for hours.
  {
    framing: 'lines',
    maxWriteBuffer: 64 * 1024,
    highWaterMark: 32 * 1024,
    idleTimeoutMs: 3_600_000,
  },
)

function tell(from: Connection<Guest>, text: string): void {
  for (const guest of server.connections) {
    if (guest !== from && guest.state.name !== undefined) guest.write(`${text}\n`)
  }
}

const { address, port } = server.listen(process.argv[2] ?? '127.0.0.1:7002')
console.log(`listening on ${address}:${port}`)

async function end(): Promise<void> {
  for (const guest of server.connections) guest.write('The chat ends.\n')
  await server.close({ deadlineMs: 1000 })
  loop.shutdown()
}
process.once('SIGINT', end)
process.once('SIGTERM', end)

await loop.run({})
loop.close()
