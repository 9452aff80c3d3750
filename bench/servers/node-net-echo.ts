/**
 * The peer: an echo server as one writes it with node:net. `--work N`: with so many steps of servers/work.ts for each
 * message. `--flow`: that reads no more while what it has written waits.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { parseArgs } from 'node:util'

import { collectOnSignal } from './collect.ts'
import { work } from './work.ts'

const { values } = parseArgs({
  options: {
    work: { type: 'string', default: '0' },
    flow: { type: 'boolean', default: false },
  },
})
const steps = Number(values.work)
collectOnSignal()

function echo(socket: Socket): void {
  socket.on('data', (chunk) => socket.write(chunk))
}

function busyEcho(socket: Socket): void {
  socket.on('data', (chunk) => {
    work(steps)
    socket.write(chunk)
  })
}

function flowingEcho(socket: Socket): void {
  socket.on('data', (chunk) => {
    if (!socket.write(chunk)) socket.pause()
  })
  socket.on('drain', () => socket.resume())
}

const serve = values.flow ? flowingEcho : steps > 0 ? busyEcho : echo

const server = createServer((socket) => {
  socket.setNoDelay()
  serve(socket)
  socket.on('error', () => socket.destroy())
})

server.listen(0, '127.0.0.1', 1024, () => {
  const { address, port } = server.address() as AddressInfo
  console.log(`listening on ${address}:${port}`)
})
