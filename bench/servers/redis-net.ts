/** The peer of examples/redis.ts: the same commands, by node:net and setTimeout. `[PORT]`; any free one if left out. */
import { type AddressInfo, createServer, type Socket } from 'node:net'

import { Service } from '../../examples/redis/commands.ts'
import { type Key, Store } from '../../examples/redis/store.ts'

const store = new Store({
  now: () => performance.now(),
  set: (key, ms) => setTimeout(expire, ms, key),
  clear(handle: NodeJS.Timeout) {
    clearTimeout(handle)
  },
})
const service = new Service(store)
const sockets = new Set<Socket>()

/** As in examples/redis.ts. */
const OPTIONS = { allowHalfOpen: true, noDelay: true, highWaterMark: 2 ** 20 }

function expire(key: Key): void {
  store.expire(key)
}

const server = createServer(OPTIONS, (socket) => {
  sockets.add(socket)
  const session = service.open({
    // The socket may keep what it is given, and the session writes into the same buffer again.
    write: (bytes) => socket.write(Buffer.from(bytes)),
    end: () => socket.destroySoon(),
    abort: () => socket.destroy(),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
  })
  socket.on('data', (chunk) => session.receive(chunk))
  socket.on('drain', () => session.drain())
  socket.on('end', () => session.end())
  socket.on('error', () => socket.destroy())
  socket.on('close', () => {
    sockets.delete(socket)
    session.close()
  })
})

server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', 1024, () => {
  const { address, port } = server.address() as AddressInfo
  console.log(
    `listening on ${address}:${port}; talk to it with: redis-cli -h ${address} -p ${port}`,
  )
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close()
    store.clear()
    for (const socket of sockets) socket.destroy()
  })
}
