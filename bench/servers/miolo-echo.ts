/** An echo server by `ready`, edge-triggered: `--driver thread|embedded`, `--run-sync`, `--spin-us N`. */
import { parseArgs } from 'node:util'

import {
  EventLoop,
  EventSet,
  type Handler,
  PollOpt,
  TcpListener,
  type TcpStream,
  type Token,
} from 'miolo'

const { values } = parseArgs({
  options: {
    driver: { type: 'string', default: 'thread' },
    'run-sync': { type: 'boolean', default: false },
    'spin-us': { type: 'string', default: '0' },
  },
})

const LISTENER: Token = 0
const INTEREST = EventSet.readable().union(EventSet.writable())

interface Connection {
  stream: TcpStream
  /** What was read and could not be written yet; nothing more is read before it is out. */
  unsent: Uint8Array | null
}

class Echo implements Handler {
  readonly #listener: TcpListener
  readonly #connections = new Map<Token, Connection>()
  readonly #buffer = new Uint8Array(64 * 1024)
  #nextToken: Token = LISTENER + 1

  constructor(listener: TcpListener) {
    this.#listener = listener
  }

  ready(loop: EventLoop, token: Token, events: EventSet): void {
    if (token === LISTENER) return this.#accept(loop)
    const connection = this.#connections.get(token)
    if (connection === undefined) return
    try {
      if (this.#echo(connection, events)) return
    } catch {
      // The peer has reset the connection.
    }
    this.#connections.delete(token)
    connection.stream.close()
  }

  #accept(loop: EventLoop): void {
    for (;;) {
      const accepted = this.#listener.accept()
      if (accepted === null) return
      const { stream } = accepted
      stream.setNodelay(true)
      const token = this.#nextToken++
      this.#connections.set(token, { stream, unsent: null })
      loop.register(stream, token, INTEREST, PollOpt.edge())
    }
  }

  /** False once the peer has ended. */
  #echo(connection: Connection, events: EventSet): boolean {
    const { stream } = connection
    const buffer = this.#buffer
    if (connection.unsent !== null && !this.#write(connection, connection.unsent)) return true
    for (;;) {
      const count = stream.read(buffer)
      if (count === null) return true
      if (count === 0) return false
      if (!this.#write(connection, buffer.subarray(0, count))) return true
      // A short read has drained the socket; only a hang-up may stand behind it.
      if (count < buffer.length && !events.isHup()) return true
    }
  }

  /** Writes what the socket takes and keeps a copy of the rest; true if there is none. */
  #write(connection: Connection, bytes: Uint8Array): boolean {
    const written = connection.stream.write(bytes) ?? 0
    connection.unsent = written === bytes.length ? null : bytes.slice(written)
    return connection.unsent === null
  }
}

const listener = TcpListener.bind('127.0.0.1:0', { backlog: 1024 })
const loop = new EventLoop({
  driver: values.driver as 'thread' | 'embedded',
  spinUs: Number(values['spin-us']),
})
loop.register(listener, LISTENER, EventSet.readable(), PollOpt.edge())

const { address, port } = listener.localAddress()
console.log(`listening on ${address}:${port}`)
if (values['run-sync']) loop.runSync(new Echo(listener))
else await loop.run(new Echo(listener))
