// What `npm start` runs: a tour of the examples, then two servers to talk to.
//
//   npm start                                        echo on 127.0.0.1:7000, Redis on 127.0.0.1:7001
//   npm start -- 127.0.0.1:8000 127.0.0.1:8001       elsewhere

import { EventLoop, type SocketAddress, TcpServer } from 'miolo'

import { redis } from './redis/serve.ts'

const TOUR = {
  base: 'a loop and a handler, shut down before they have begun',
  timeout: 'a timeout of 100 ms, and one that is cleared',
  notify: 'messages from a worker thread',
  tick: 'closing when nothing more can come',
}

const [echoAt = '127.0.0.1:7000', redisAt = '127.0.0.1:7001'] = process.argv.slice(2)

let end = (): void => process.exit(0)
process.once('SIGINT', () => end())
process.once('SIGTERM', () => end())

console.log('A tour of miolo: an event loop and its handler.')
for (const [name, subject] of Object.entries(TOUR)) {
  console.log(`\nexamples/${name}.ts: ${subject}`)
  await import(`./${name}.ts`)
}

const counts = { accepted: 0, echoed: 0 }
const loop = new EventLoop()
const echo = new TcpServer(loop, {
  open: () => void counts.accepted++,
  data(conn, chunk) {
    counts.echoed += chunk.length
    // Whoever does not read what comes back is not read from, either.
    if (!conn.write(chunk)) conn.pause()
  },
  drain: (conn) => conn.resume(),
})
const keys = redis()

const where = listen('echo', echo, echoAt)
console.log(
  `\nA server like examples/echo.ts serves echo on ${where.host}:${where.port}. In another terminal:\n`,
)
console.log(`  nc ${where.address} ${where.port}\n`)
const store = listen('Redis', keys.server, redisAt)
console.log(`examples/redis.ts serves keys on ${store.host}:${store.port}. In another terminal:\n`)
console.log(`  redis-cli -h ${store.address} -p ${store.port}\n`)
console.log('Ctrl-C ends both.\n')

const { stdout } = process
let shown = ''
const display = stdout.isTTY ? setInterval(showMetrics, 250) : undefined

end = () => {
  // A second time, for those who cannot wait.
  process.once('SIGINT', () => process.exit(0))
  void echo.close({ deadlineMs: 1000 }).then(() => loop.shutdown())
  void keys.stop()
}
await Promise.all([loop.run({}), keys.run()])

if (display !== undefined) {
  clearInterval(display)
  showMetrics()
  stdout.write('\n')
}
console.log(`Shut down. Connections: ${count(counts.accepted)}, bytes: ${count(counts.echoed)}.`)
loop.close()
keys.close()

/** Listens, or says why it cannot, and ends. */
function listen(
  name: string,
  server: { listen(address: string): SocketAddress },
  at: string,
): SocketAddress & { host: string } {
  try {
    const address = server.listen(at)
    return {
      ...address,
      host: address.family === 'IPv6' ? `[${address.address}]` : address.address,
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    console.error(
      code === 'EADDRINUSE'
        ? `\n${at} is in use. Other addresses: npm start -- 127.0.0.1:8000 127.0.0.1:8001`
        : `\nCannot serve ${name} on ${at}: ${message}`,
    )
    process.exit(1)
  }
}

/** What the loop says of itself, on one line of the terminal. */
function showMetrics(): void {
  const { iterations, turner, handovers } = loop.metrics()
  const line = [
    `connections ${count(echo.connections.size)}`,
    `echoed ${count(counts.echoed / 1e6)} MB`,
    `turns ${count(iterations)}, by the ${turner === 'js' ? 'JS' : 'loop'} thread`,
    `handovers ${count(handovers)}`,
    `keys' clients ${count(keys.server.connections.size)}`,
  ].join(' · ')
  if (line === shown) return
  shown = line
  // No longer than the terminal is wide, or it would not be overwritten.
  stdout.write(`\r\x1b[K${line.slice(0, (stdout.columns || 80) - 1)}`)
}

function count(number: number): string {
  return number.toLocaleString('en', { maximumFractionDigits: 1 })
}
