/** Servers and connections of miolo's, and the sockets of Node's at their other ends. */

import { once } from 'node:events'
import net from 'node:net'

import type { ExecutionContext } from 'ava'
import {
  type CloseReason,
  type Connection,
  type EventLoop,
  type EventLoopConfig,
  type ServerHandler,
  type ServerOptions,
  type SocketAddress,
  TcpServer,
} from 'miolo'

import { within } from './deadline.ts'
import type { Stage } from './drivers.ts'

/** What has happened to one connection. */
export interface Life<State = unknown> {
  conn: Connection<State>
  /** The names of the callbacks, in their order. */
  calls: string[]
  /** What `data` has brought, each chunk a copy. */
  chunks: Buffer[]
  reason?: CloseReason
  error?: Error | undefined
}

/** A handler that writes down what is called, and what it has written down. */
export interface Journal<State = unknown> {
  handler: ServerHandler<State>
  /** In the order in which they were opened. */
  lives: Life<State>[]
  /** What `error` was called with. */
  errors: Error[]
  /** Waits until something is so, which only a callback can bring about. */
  until(what: string, isSo: () => boolean): Promise<void>
  /** The life of the next connection, or of the one of this number, once it is open. */
  opened(index?: number): Promise<Life<State>>
  /** The same, once it is closed. */
  closed(index?: number): Promise<Life<State>>
}

/** Writes down every call, and then does what `handler` does. */
export function journal<State = unknown>(handler: ServerHandler<State> = {}): Journal<State> {
  const lives: Life<State>[] = []
  const errors: Error[] = []
  const byConnection = new Map<Connection<State>, Life<State>>()
  const waiting = new Set<() => void>()
  const tell = () => {
    for (const look of waiting) look()
  }
  const note = (conn: Connection<State>, call: string): Life<State> => {
    let life = byConnection.get(conn)
    if (life === undefined) {
      life = { conn, calls: [], chunks: [] }
      byConnection.set(conn, life)
      lives.push(life)
    }
    life.calls.push(call)
    queueMicrotask(tell)
    return life
  }
  const until = (what: string, isSo: () => boolean) =>
    within(what, async () => {
      while (!isSo()) {
        await new Promise<void>((resolve) => {
          const look = () => {
            waiting.delete(look)
            resolve()
          }
          waiting.add(look)
        })
      }
    })
  return {
    lives,
    errors,
    until,
    async opened(index = 0) {
      await until(`connection ${index}`, () => lives.length > index)
      return lives[index] as Life<State>
    },
    async closed(index = 0) {
      await until(`the end of connection ${index}`, () => lives[index]?.reason !== undefined)
      return lives[index] as Life<State>
    },
    handler: {
      open(conn) {
        note(conn, 'open')
        return handler.open?.(conn)
      },
      data(conn, chunk) {
        note(conn, 'data').chunks.push(Buffer.from(chunk))
        return handler.data?.(conn, chunk)
      },
      end(conn) {
        note(conn, 'end')
        return handler.end?.(conn)
      },
      drain(conn) {
        note(conn, 'drain')
        return handler.drain?.(conn)
      },
      close(conn, reason, error) {
        Object.assign(note(conn, 'close'), { reason, error })
        return handler.close?.(conn, reason, error)
      },
      error(error) {
        errors.push(error)
        queueMicrotask(tell)
        return handler.error?.(error)
      },
    },
  }
}

/** Each life has one `open`, the first, and, if it is over, one `close`, the last. */
export function areInOrder(t: ExecutionContext, lives: Life[]): void {
  for (const { calls, reason } of lives) {
    const count = (name: string) => calls.filter((call) => call === name).length
    t.is(calls[0], 'open')
    t.is(count('open'), 1)
    t.true(count('end') <= 1)
    t.is(count('close'), reason === undefined ? 0 : 1)
    if (reason !== undefined) t.is(calls.at(-1), 'close')
  }
}

/** A loop that runs until the end of the test. */
export function running({ open }: Pick<Stage, 'open'>, config?: EventLoopConfig): EventLoop {
  const loop = open(config)
  void loop.run({})
  return loop
}

/** A server at a free port, whose loop is closed with the test. */
export function serve<State>(
  loop: EventLoop,
  handler: ServerHandler<State>,
  options?: ServerOptions,
): { server: TcpServer<State>; address: SocketAddress; port: number } {
  const server = new TcpServer<State>(loop, handler, options)
  const address = server.listen('127.0.0.1:0')
  return { server, address, port: address.port }
}

/** Connects to a port with a socket of Node's, and reads what comes, unless it is `silent`. */
export function dial(
  stage: Pick<Stage, 'keep'>,
  port: number,
  options?: { silent?: boolean } & Partial<net.TcpNetConnectOpts>,
): Client {
  return new Client(stage, port, options)
}

/** A socket of Node's, which goes with the test. What goes wrong with it, it keeps to itself. */
export class Client {
  readonly socket: net.Socket
  #chunks: Buffer[] = []
  /** Its error, if it has had one. */
  error: NodeJS.ErrnoException | undefined
  hasEnded = false
  hasClosed = false
  #count = 0
  #changed = () => {}

  constructor(
    { keep }: Pick<Stage, 'keep'>,
    port: number,
    { silent = false, ...options }: { silent?: boolean } & Partial<net.TcpNetConnectOpts> = {},
  ) {
    this.socket = net.connect({
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
      ...options,
      port,
    })
    this.socket.on('error', (error) => {
      this.error = error
      this.#changed()
    })
    this.socket.on('close', () => {
      this.hasClosed = true
      this.#changed()
    })
    if (!silent) this.listen()
    keep({ close: () => this.socket.destroy() })
  }

  /** Reads what comes from now on. */
  listen(): void {
    this.socket.on('data', (chunk) => {
      this.#chunks.push(chunk)
      this.#count += chunk.length
      this.#changed()
    })
    this.socket.on('end', () => {
      this.hasEnded = true
      this.#changed()
    })
  }

  /** What has come and was not taken. */
  get received(): Buffer {
    if (this.#chunks.length !== 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] as Buffer
  }

  async connected(): Promise<this> {
    if (this.socket.connecting) await within('a client', () => once(this.socket, 'connect'))
    return this
  }

  write(data: string | Uint8Array): void {
    this.socket.write(data)
  }

  /** Writes, and waits until the system has all of it, so that what comes next is a segment of its own. */
  send(data: string | Uint8Array): Promise<void> {
    return within(
      'a write',
      () => new Promise((resolve) => this.socket.write(data, () => resolve())),
    )
  }

  /** The next bytes, so many. */
  async take(count: number): Promise<Buffer> {
    await this.until(`${count} bytes`, () => this.#count >= count)
    const { received } = this
    this.#chunks = [received.subarray(count)]
    this.#count -= count
    return received.subarray(0, count)
  }

  /** All that comes until the peer ends its side. */
  async rest(): Promise<Buffer> {
    await this.until('the end', () => this.hasEnded)
    return this.received
  }

  /**
   * Waits until the peer has ended its side, or the socket is gone. A reset that comes behind data can look like an end:
   * so libuv tells it.
   */
  over(): Promise<void> {
    return this.until('the end', () => this.hasEnded || this.error !== undefined)
  }

  /** Waits until the socket is gone. */
  async closed(): Promise<this> {
    await this.until('the end of a client', () => this.hasClosed)
    return this
  }

  until(what: string, isSo: () => boolean): Promise<void> {
    return within(what, async () => {
      while (!isSo()) {
        if (this.hasClosed) throw new Error(`closed before ${what}`, { cause: this.error })
        await new Promise<void>((resolve) => {
          this.#changed = resolve
        })
      }
    })
  }
}
