// What `npm start` runs: a tour of the examples, then an echo server to talk to.
//
//   npm start                        on 127.0.0.1:7000
//   npm start -- 127.0.0.1:7001      elsewhere

import { EventLoop, TcpListener } from 'miolo'

import { EchoHandler } from './echo_handler.ts'

const TOUR = {
  base: 'a loop and a handler, shut down before they have begun',
  timeout: 'a timeout of 100 ms, and one that is cleared',
  notify: 'messages from a worker thread',
  tick: 'closing when nothing more can come',
}

const address = process.argv[2] ?? '127.0.0.1:7000'

let end = (): void => process.exit(0)
process.once('SIGINT', () => end())
process.once('SIGTERM', () => end())

console.log('A tour of miolo: an event loop and its handler.')
for (const [name, subject] of Object.entries(TOUR)) {
  console.log(`\nexamples/${name}.ts: ${subject}`)
  await import(`./${name}.ts`)
}

const loop = new EventLoop<'accept again'>()
end = () => loop.shutdown()
const handler = new EchoHandler(loop, listen())
console.log('What is sent there comes back. Ctrl-C ends it.\n')

const { stdout } = process
let shown = ''
const display = stdout.isTTY ? setInterval(showMetrics, 250) : undefined

await loop.run(handler)

if (display !== undefined) {
  clearInterval(display)
  showMetrics()
  stdout.write('\n')
}
console.log(`Shut down. Connections: ${count(handler.accepted)}, bytes: ${count(handler.echoed)}.`)
handler.close()
loop.close()

function listen(): TcpListener {
  try {
    const listener = TcpListener.bind(address)
    const { address: host, family, port } = listener.localAddress()
    const where = family === 'IPv6' ? `[${host}]:${port}` : `${host}:${port}`
    console.log(`\nexamples/echo_handler.ts serves echo on ${where}. In another terminal:\n`)
    console.log(`  nc ${host} ${port}\n`)
    return listener
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    console.error(
      code === 'EADDRINUSE'
        ? `\n${address} is in use. Another address: npm start -- 127.0.0.1:7001`
        : `\nCannot serve on ${address}: ${message}`,
    )
    process.exit(1)
  }
}

/** What the loop says of itself, on one line of the terminal. */
function showMetrics(): void {
  const { events, doorbells } = loop.metrics()
  const line = [
    `connections ${count(handler.connected)}`,
    `echoed ${count(handler.echoed / 1e6)} MB`,
    `ready ${count(events.ready)}`,
    `doorbells ${count(doorbells.toJs)}`,
  ].join(' · ')
  if (line === shown) return
  shown = line
  // No longer than the terminal is wide, or it would not be overwritten.
  stdout.write(`\r\x1b[K${line.slice(0, (stdout.columns || 80) - 1)}`)
}

function count(number: number): string {
  return number.toLocaleString('en', { maximumFractionDigits: 1 })
}
