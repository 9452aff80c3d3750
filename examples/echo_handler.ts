// What an echo server does, by `ready`: examples/echo_server.ts runs it.
//
// Registrations are edge-triggered: `ready` says that something has changed, once. So whoever is told
// that a socket is readable must read until it is empty, or remember that it is not.

import {
  type EventLoop,
  EventSet,
  type Handler,
  PollOpt,
  type TcpListener,
  type TcpStream,
  type Token,
} from 'miolo'

const LISTENER: Token = 0
const READ_AND_WRITE = EventSet.readable().union(EventSet.writable())

/** How long to wait when the process is out of descriptors. */
const ACCEPT_AGAIN_MS = 100

interface Connection {
  stream: TcpStream
  /** What was read and could not be sent yet. */
  unsent: Uint8Array | null
  /** There may be something to read. */
  readable: boolean
  /** The peer has sent its last byte. */
  hungUp: boolean
}

type Timeout = 'accept again'
type Loop = EventLoop<Timeout>

export class EchoHandler implements Handler<Timeout> {
  /** Connections so far, of which each has its number for a token. */
  #accepted = 0
  readonly #listener: TcpListener
  readonly #connections = new Map<Token, Connection>()
  /** What is being echoed just now; one for all, since no connection keeps it. */
  readonly #buffer = new Uint8Array(64 * 1024)
  #waitsToAccept = false

  constructor(loop: Loop, listener: TcpListener) {
    this.#listener = listener
    loop.register(listener, LISTENER, EventSet.readable(), PollOpt.edge())
  }

  ready(loop: Loop, token: Token, events: EventSet): void {
    if (token === LISTENER) return this.#accept(loop)
    const connection = this.#connections.get(token) as Connection
    connection.readable ||= events !== EventSet.writable()
    connection.hungUp ||= events.isHup()
    try {
      if (this.#echo(connection)) return
    } catch (error) {
      // The connection is at its end, too; the others go on.
      systemError(error)
    }
    // Closing deregisters: nothing of this connection is delivered any more.
    connection.stream.close()
    this.#connections.delete(token)
  }

  timeout(loop: Loop): void {
    this.#waitsToAccept = false
    this.#accept(loop)
  }

  /** Ends every connection, and the listener. */
  close(): void {
    for (const { stream } of this.#connections.values()) stream.close()
    this.#connections.clear()
    this.#listener.close()
  }

  #accept(loop: Loop): void {
    while (!this.#waitsToAccept) {
      try {
        const accepted = this.#listener.accept()
        if (accepted === null) return
        this.#add(loop, accepted.stream)
      } catch (error) {
        const { code, message } = systemError(error)
        // This one went away while it waited; there may be others behind it.
        if (code === 'ECONNABORTED') continue
        // Out of descriptors, most likely. Those who wait go on waiting, but the listener will not be
        // told ready for them again.
        console.error(`cannot accept just now: ${message}`)
        loop.timeoutMs('accept again', ACCEPT_AGAIN_MS)
        this.#waitsToAccept = true
      }
    }
  }

  #add(loop: Loop, stream: TcpStream): void {
    const token = ++this.#accepted
    try {
      stream.setNodelay(true)
      loop.register(stream, token, READ_AND_WRITE, PollOpt.edge())
      this.#connections.set(token, { stream, unsent: null, readable: false, hungUp: false })
    } catch (error) {
      console.error(`a connection was lost: ${String(error)}`)
      stream.close()
    }
  }

  /** Echoes for as long as the socket allows. False: the peer has ended, and has everything back. */
  #echo(connection: Connection): boolean {
    const buffer = this.#buffer
    for (;;) {
      // First what is owed. Nothing more is read before, so that a peer that sends and does not read
      // cannot fill our memory.
      if (connection.unsent !== null && !this.#send(connection, connection.unsent)) return true
      if (!connection.readable) return true

      const count = connection.stream.read(buffer)
      if (count === 0) return false
      if (count === null) {
        connection.readable = false
      } else {
        // A short read has emptied the socket: what comes later is told anew. But the end of the
        // stream, if it has been told, is still to be read.
        connection.readable = count === buffer.length || connection.hungUp
        this.#send(connection, buffer.subarray(0, count))
      }
    }
  }

  /** Sends what the socket takes, and keeps a copy of the rest. True: there is none. */
  #send(connection: Connection, bytes: Uint8Array): boolean {
    const sent = connection.stream.write(bytes) ?? 0
    if (sent === bytes.length) connection.unsent = null
    // What was kept once is ours already.
    else connection.unsent = bytes === connection.unsent ? bytes.subarray(sent) : bytes.slice(sent)
    return connection.unsent === null
  }
}

/** The error, if it is the system's, such as ECONNRESET; any other is a fault of this program. */
function systemError(error: unknown): NodeJS.ErrnoException {
  if (error instanceof Error && 'syscall' in error) return error as NodeJS.ErrnoException
  throw error
}
