import type { Bridge } from '../bridge/bridge.ts'
import { native } from '../bridge/binding.ts'
import type { Acceptor, Endpoint } from '../bridge/connections.ts'
import { closed, LoopError, systemError } from '../errors.ts'
import { bridgeOf, EventLoop } from '../event-loop.ts'
import {
  type AddressLike,
  parseAddress,
  type SocketAddress,
  socketAddress,
} from '../net/address.ts'
import { checkHandler, duration, options as optional } from '../validate.ts'
import type { Connection } from './connection.ts'
import { ConnectionEnd, type Origin } from './connection-end.ts'
import { CALLBACKS, type CloseReason, type ServerHandler } from './connection-handler.ts'
import { type ResolvedServerOptions, resolveServer, type ServerOptions } from './options.ts'

/** How {@link TcpServer.close} goes about it. */
export interface CloseOptions {
  /** Milliseconds after which connections that have not ended are cut. Default: they may take as long as they like. */
  deadlineMs?: number
}

/** How many connections have ended for which reason. */
export type ClosedConnections = Partial<Record<CloseReason, number>>

/**
 * A TCP server: connections are accepted, read, written, framed, timed out and limited by whoever turns the loop, also
 * while the JS thread is busy; here are the callbacks.
 *
 * ```ts
 * const loop = new EventLoop()
 * const server = new TcpServer(loop, { data: (conn, chunk) => void conn.write(chunk) })
 * console.log(server.listen('127.0.0.1:7000'))
 * await loop.run({})
 * ```
 */
export class TcpServer<State = unknown> implements AsyncDisposable {
  readonly #handler: ServerHandler<State>
  /** Its place in each of the loops that serve it; the first, which is the user's, accepts for all. */
  readonly #seats: Seat[]
  /** The other loops, which follow the first: they run when it does. */
  readonly #helpers: EventLoop[] = []
  readonly #open = new Map<Connection<State>, ConnectionEnd<State>>()
  #closed: ClosedConnections = {}
  #closing: Promise<ClosedConnections> | undefined
  #finish: (() => void) | undefined
  /** What there was when it left its loops, which know nothing of it any more. */
  #refusedAtClose: number | undefined

  /**
   * Makes a server that does not listen yet.
   *
   * @param loop serves it while it runs.
   * @throws `TypeError` or `RangeError` for arguments that make no sense; `ERR_MIOLO_CLOSED`; with `loops`, in a callback
   * of `runSync`, `ERR_MIOLO_LOOPS_IN_RUN_SYNC`.
   */
  constructor(
    loop: EventLoop<never, never>,
    handler: ServerHandler<State>,
    options?: ServerOptions,
  ) {
    const bridge = bridgeOf(loop)
    this.#handler = checkHandler(handler, CALLBACKS)
    const resolved = resolveServer(options)
    if (resolved.loops > 1 && bridge.isSync) throw new LoopError('ERR_MIOLO_LOOPS_IN_RUN_SYNC')
    try {
      for (let index = 1; index < resolved.loops; index++) {
        // The first alone keeps the process alive.
        this.#helpers.push(new EventLoop({ driver: 'thread' }).unref())
      }
      const others = this.#helpers.map((helper) => this.#sit(bridgeOf(helper), resolved))
      // The user's loop comes last, and learns of nothing that has failed.
      const first = this.#sit(bridge, resolved)
      for (const { bridge, id } of others) {
        native.serverSpread(first.bridge.native, first.id, bridge.native, id)
      }
      this.#seats = [first, ...others]
    } catch (error) {
      for (const helper of this.#helpers) helper.close()
      throw error
    }
    for (const helper of this.#helpers) bridge.addFollower(helper)
  }

  #sit(bridge: Bridge<never, never>, options: ResolvedServerOptions): Seat {
    const origin: Origin<State> = {
      bridge,
      handler: this.#handler,
      options,
      gone: (conn, reason) => this.#gone(conn, reason),
    }
    const acceptor: Acceptor = {
      accept: (slot, generation, peer): Endpoint => {
        const end = new ConnectionEnd<State>(origin, slot, generation, peer)
        this.#open.set(end.conn, end)
        if (this.#closing !== undefined) end.finish()
        return end
      },
      failed: (error) => this.#handler.error?.(error),
      closed: () => this.#finishIfEmpty(),
    }
    const connections = bridge.connections()
    const id = native.serverOpen(bridge.native, options.native, options.server)
    connections.addServer(id, acceptor)
    return { bridge, id }
  }

  /**
   * Listens at an address, such as `127.0.0.1:0` for any free port; may be called again, for another one. Connections
   * are accepted while the loop runs.
   *
   * @returns the address, with the port that the system chose.
   * @throws an `Error` as of `node:net`: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`; `TypeError` for what is no address;
   * `ERR_MIOLO_CLOSED`.
   */
  listen(address: AddressLike): SocketAddress {
    const parsed = parseAddress(address)
    if (this.#closing !== undefined || this.#isClosed()) throw closed('server')
    const { bridge, id } = this.#seats[0] as Seat
    const listening = native.serverListen(bridge.native, id, parsed.text)
    if (typeof listening === 'number') throw systemError(listening, 'listen', parsed.address)
    bridge.pumpSoon()
    return socketAddress(listening)
  }

  /** The connections that are open. */
  get connections(): Iterable<Connection<State>> & { readonly size: number } {
    const open = this.#open
    return {
      get size() {
        return open.size
      },
      [Symbol.iterator]: () => open.keys(),
    }
  }

  /**
   * How many connections were refused because of the limits: each was closed at once, and never open. It can be asked for
   * when the server, or its loop, is closed, too.
   */
  get refused(): number {
    if (this.#refusedAtClose !== undefined) return this.#refusedAtClose
    const refused = ({ bridge, id }: Seat) => native.serverRefused(bridge.native, id)
    return this.#seats.reduce((count, seat) => count + refused(seat), 0)
  }

  /**
   * Accepts no more, and ends every connection once what was written to it, or to its stream, has been sent. Those that
   * have not ended by the deadline, since their peers have not, are cut: `shutdown`.
   *
   * @returns a promise that resolves when no connection is left, to how many have ended for which reason since. The
   * loop has to run until then, or to be closed. Another call returns the same promise; it may set another deadline.
   * @throws `TypeError` or `RangeError` for a deadline that is none.
   */
  close(options?: CloseOptions): Promise<ClosedConnections> {
    const { deadlineMs } = optional(options, 'options')
    const patience =
      deadlineMs === undefined ? -1 : duration(deadlineMs, 'options.deadlineMs', 2 ** 53)
    if (this.#closing === undefined) return (this.#closing = this.#close(patience))
    // A deadline may be set later, too.
    if (patience >= 0 && this.#finish !== undefined) this.#shutDown(patience)
    return this.#closing
  }

  /**
   * {@link close} without a deadline, at the end of an `await using` block. The loop has to run until no connection is
   * left, or to be closed: who leaves the block otherwise waits for ever.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #close(patience: number): Promise<ClosedConnections> {
    this.#closed = {}
    const done = new Promise<ClosedConnections>((resolve) => {
      this.#finish = () => {
        this.#finish = undefined
        this.#leave()
        resolve(this.#closed)
      }
    })
    for (const end of this.#open.values()) end.finishStream()
    this.#shutDown(patience)
    this.#finishIfEmpty()
    return done
  }

  #shutDown(patience: number): void {
    for (const { bridge, id } of this.#seats) {
      if (bridge.closed) continue
      // First what was written before.
      bridge.flushNow()
      native.serverShutDown(bridge.native, id, patience)
    }
  }

  #leave(): void {
    this.#refusedAtClose = this.refused
    for (const { bridge, id } of this.#seats) {
      if (bridge.closed) continue
      bridge.connections().removeServer(id)
      native.serverRemove(bridge.native, id)
    }
    const [{ bridge }] = this.#seats as [Seat]
    for (const helper of this.#helpers) {
      bridge.removeFollower(helper)
      helper.close()
    }
  }

  #gone(conn: Connection<State>, reason: CloseReason): void {
    this.#open.delete(conn)
    if (this.#closing === undefined) return
    this.#closed[reason] = (this.#closed[reason] ?? 0) + 1
    // Its own `close` comes first.
    queueMicrotask(() => this.#finishIfEmpty())
  }

  #finishIfEmpty(): void {
    if (this.#open.size > 0) return
    // Some may have been accepted that are still to be told of.
    const areOpen = this.#seats.some(
      ({ bridge, id }) => !bridge.closed && native.serverConnections(bridge.native, id) > 0,
    )
    if (!areOpen) this.#finish?.()
  }

  #isClosed(): boolean {
    return (this.#seats[0] as Seat).bridge.closed
  }
}

/** A server's place in a loop. */
interface Seat {
  bridge: Bridge<never, never>
  id: number
}
