// An echo server: whatever a client sends comes back.
//
//   echo_server.ts [ADDRESS [DRIVER]]       127.0.0.1:7000 and `auto`, unless said otherwise
//   nc 127.0.0.1 7000                       in another terminal
//
// How it echoes stands in examples/echo_handler.ts.

import { EventLoop, type EventLoopConfig, TcpListener } from 'miolo'

import { EchoHandler } from './echo_handler.ts'

const [address = '127.0.0.1:7000', driver] = process.argv.slice(2)

const listener = TcpListener.bind(address)
// The loop itself says so if there is no such driver.
const loop = new EventLoop<'accept again'>({ driver } as EventLoopConfig)
const handler = new EchoHandler(loop, listener)

const local = listener.localAddress()
console.log(`listening on ${local.address}:${local.port}`)

// Node's own loop goes on beside ours, and with it the signals.
process.once('SIGINT', () => loop.shutdown())
process.once('SIGTERM', () => loop.shutdown())

await loop.run(handler)
handler.close()
loop.close()
