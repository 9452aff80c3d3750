/**
 * An echo server by `TcpServer`: `--driver auto|thread|embedded`, `--spin-us N`, and `--work N` and `--flow` as
 * servers/node-net-echo.ts has them.
 */
import { parseArgs } from 'node:util'

import { EventLoop, type EventLoopConfig, type ServerHandler, TcpServer } from 'miolo'

import { collectOnSignal } from './collect.ts'
import { work } from './work.ts'

const { values } = parseArgs({
  options: {
    driver: { type: 'string', default: 'auto' },
    'spin-us': { type: 'string', default: '0' },
    work: { type: 'string', default: '0' },
    flow: { type: 'boolean', default: false },
  },
})
const steps = Number(values.work)
collectOnSignal()

const echo: ServerHandler = {
  data(conn, chunk) {
    conn.write(chunk)
  },
}

const busyEcho: ServerHandler = {
  data(conn, chunk) {
    work(steps)
    conn.write(chunk)
  },
}

const flowingEcho: ServerHandler = {
  data(conn, chunk) {
    if (!conn.write(chunk)) conn.pause()
  },
  drain(conn) {
    conn.resume()
  },
}

const loop = new EventLoop({
  driver: values.driver as EventLoopConfig['driver'],
  spinUs: Number(values['spin-us']),
})
const handler = values.flow ? flowingEcho : steps > 0 ? busyEcho : echo
const server = new TcpServer(loop, handler, { borrow: true })

const { address, port } = server.listen('127.0.0.1:0')
console.log(`listening on ${address}:${port}`)
await loop.run({})
