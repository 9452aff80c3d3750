import type { Duplex } from 'node:stream'

import type { Bridge } from '../bridge/bridge.ts'
import { native } from '../bridge/binding.ts'
import type { Connections, Endpoint, Held } from '../bridge/connections.ts'
import * as at from '../bridge/layout.ts'
import { invalidType } from '../errors.ts'
import { type SocketAddress, socketAddress } from '../net/address.ts'
import { lengthOf } from '../validate.ts'
import { Connection } from './connection.ts'
import { type CloseReason, type ConnectionHandler, REASONS } from './connection-handler.ts'
import type { ResolvedOptions } from './options.ts'
import { ConnectionStream } from './stream.ts'

/** What makes a connection of a name of the native side's. @internal */
export interface Origin<State> {
  bridge: Bridge<never, never>
  handler: ConnectionHandler<State>
  options: ResolvedOptions
  /** It has ended, before its handler is told. */
  gone(conn: Connection<State>, reason: CloseReason, error: Error | undefined): void
}

/** The side of a connection that is turned to the bridge. @internal */
export class ConnectionEnd<State> implements Endpoint {
  readonly slot: number
  readonly generation: number
  readonly conn: Connection<State>
  handler: ConnectionHandler<State>
  /** Whether it is left to others to end this side when the peer has ended its own. */
  allowHalfOpen: boolean
  readonly #origin: Origin<State>
  readonly #connections: Connections
  readonly #peer: { ip: number; port: number } | undefined
  /** Neither end nor abort was called, and it has not ended. */
  #isWritable = true
  #isOpen = true
  /** Why it was cut off from this side: nothing of it is told any more, but that it has ended. */
  #cut: number | undefined
  #needsDrain = false
  #hasEnded = false
  #isPaused = false
  /** The native side has been told to read no more. */
  #isStopped = false
  #isHeldBack = false
  held: Held[] | undefined
  #stream: ConnectionStream | undefined
  /** How many bytes were written, by all who had its slot; a count that wraps. */
  #written: number
  /** How many of those the system has taken, once its slot may be another's. */
  #taken: number | undefined
  #addresses: [local: SocketAddress | undefined, remote: SocketAddress | undefined]

  constructor(
    origin: Origin<State>,
    slot: number,
    generation: number,
    peer?: { ip: number; port: number },
  ) {
    this.slot = slot
    this.generation = generation
    this.handler = origin.handler
    this.allowHalfOpen = origin.options.allowHalfOpen
    this.#origin = origin
    this.#connections = origin.bridge.connections()
    this.#written = this.#connections.sent(slot)
    this.#peer = peer
    this.#addresses = [undefined, undefined]
    this.conn = Connection.of(this)
    // Later there may be nobody to ask.
    if (peer === undefined) this.address(true)
  }

  get borrow(): boolean | 'checked' {
    return this.#origin.options.borrow
  }

  // From the user

  write(data: string | Uint8Array): boolean {
    let length
    if (typeof data === 'string') length = data.length
    else if (data instanceof Uint8Array) length = lengthOf(data)
    else throw invalidType('data', 'a string or a Uint8Array', data)
    if (!this.#isWritable || this.#origin.bridge.closed) return false
    const { highWaterMark, maxWriteBuffer } = this.#origin.options.native
    // A string has at least as many bytes as this, which is enough to stop one that is far too long.
    let buffered = this.buffered()
    if (buffered + length > maxWriteBuffer) return this.#overflow()
    if (length > 0) {
      const written = this.#connections.write(this.slot, this.generation, data, length)
      this.#written = (this.#written + written) | 0
      // Whether it has been sent by now or not: that is a matter of luck.
      buffered += written
    }
    if (buffered > maxWriteBuffer) return this.#overflow()
    if (buffered > highWaterMark || !this.#origin.bridge.isActive()) {
      if (!this.#needsDrain) this.wantDrain()
      return false
    }
    return !this.#needsDrain
  }

  #overflow(): false {
    this.abort(at.CLOSE_OVERFLOW)
    return false
  }

  cork<T>(write: () => T): T {
    return this.#connections.cork(write)
  }

  pause(): void {
    this.#isPaused = true
    if (!this.#isStopped) this.ask(at.COMMAND_PAUSE)
    this.#isStopped = true
    this.#connections.look(this)
  }

  resume(): void {
    this.#isPaused = false
    if (this.held === undefined) this.caughtUp()
    else this.#connections.look(this)
  }

  /** Goes on reading. Not before: the peer is not to decide how much is held back. */
  caughtUp(): void {
    if (this.#isPaused || !this.#isStopped) return
    this.#isStopped = false
    this.ask(at.COMMAND_RESUME)
  }

  /**
   * Keeps all that comes until whoever awaits the connection has had their turn, which is Node's loop's next: they may
   * make it a stream. In `runSync` there is none.
   */
  holdBack(): void {
    if (this.#origin.bridge.isSync) return
    this.#isHeldBack = true
    this.#connections.holdBack(this)
  }

  released(): void {
    this.#isHeldBack = false
    this.#connections.look(this)
  }

  finish(): void {
    if (!this.#isWritable) return
    this.#isWritable = false
    this.ask(at.COMMAND_END)
    // Asked anew, behind it: a `drain` on its way was for fewer bytes, not for none, and the close may follow it at once.
    if (this.#needsDrain) this.ask(at.COMMAND_WANT_DRAIN)
  }

  /** {@link finish}, and before it what waits in the stream, where there is one. */
  finishStream(): void {
    if (this.#stream === undefined) this.finish()
    else this.#stream.end()
  }

  /** Has {@link drained} called when few bytes wait; once this side is to end, when none do. */
  wantDrain(): void {
    this.#needsDrain = true
    this.ask(at.COMMAND_WANT_DRAIN)
  }

  /** Closes the connection, both sides at once. What the system has taken still reaches the peer. */
  close(): void {
    this.abort(at.CLOSE_END)
  }

  stream(): Duplex {
    return (this.#stream ??= new ConnectionStream(
      this.conn as Connection<unknown>,
      this as ConnectionEnd<unknown>,
    ))
  }

  abort(reason: number): void {
    this.#isWritable = false
    this.#cut ??= reason
    this.ask(at.COMMAND_CLOSE, reason)
  }

  ask(kind: number, argument?: number): void {
    if (!this.#isOpen || this.#origin.bridge.closed) return
    this.#connections.ask(kind, this.slot, this.generation, argument)
  }

  flush(): void {
    if (this.#isOpen && !this.#origin.bridge.closed) this.#origin.bridge.flushNow()
  }

  buffered(): number {
    if (!this.#isOpen) return 0
    return (this.#written - (this.#taken ?? this.#connections.sent(this.slot))) >>> 0
  }

  address(ofPeer: boolean): SocketAddress | undefined {
    const index = ofPeer ? 1 : 0
    const known = this.#addresses[index]
    if (known !== undefined) return known
    if (ofPeer && this.#peer !== undefined) {
      const { ip, port } = this.#peer
      const bytes = [24, 16, 8, 0].map((shift) => (ip >>> shift) & 0xff)
      return (this.#addresses[1] = { address: bytes.join('.'), family: 'IPv4', port })
    }
    if (!this.#isOpen) return undefined
    const found = native.connectionAddress(
      this.#origin.bridge.native,
      this.slot,
      this.generation,
      ofPeer,
    )
    if (typeof found === 'number') return undefined
    return (this.#addresses[index] = socketAddress(found))
  }

  /** How many bytes can be written before there are too many. */
  room(): number {
    return this.#origin.options.native.maxWriteBuffer - this.buffered()
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  get isWritable(): boolean {
    return this.#isWritable
  }

  /** Whether the peer has ended its side, and that was told. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  // From the bridge

  get isCut(): boolean {
    return this.#cut !== undefined
  }

  get waits(): 'no' | 'but for its end' | 'yes' {
    if (this.#isHeldBack) return 'yes'
    return this.#isPaused ? 'but for its end' : 'no'
  }

  superseded(): void {
    const taken = this.#connections.sent(this.slot)
    // No more than was written: its slot may be another's already.
    this.#taken ??= ((this.#written - taken) | 0) < 0 ? this.#written : taken
  }

  opened(): unknown {
    return this.handler.open?.(this.conn)
  }

  data(chunk: Buffer): unknown {
    return this.handler.data?.(this.conn, chunk)
  }

  ended(): unknown {
    this.#hasEnded = true
    const result: unknown = this.handler.end?.(this.conn)
    if (!this.allowHalfOpen) this.finish()
    return result
  }

  drained(): unknown {
    if (!this.#needsDrain) return undefined
    // It was told of what had been written by then.
    const enough = this.#isWritable ? this.#origin.options.native.lowWaterMark : 0
    if (this.buffered() > enough) {
      this.ask(at.COMMAND_WANT_DRAIN)
      return undefined
    }
    this.#needsDrain = false
    return this.handler.drain?.(this.conn)
  }

  closed(number: number, error: Error | undefined): unknown {
    this.#isOpen = false
    this.#isWritable = false
    const reason = this.#reason(number)
    this.#origin.gone(this.conn, reason, error)
    return error === undefined
      ? this.handler.close?.(this.conn, reason)
      : this.handler.close?.(this.conn, reason, error)
  }

  #reason(number: number): CloseReason {
    // It was to be closed in order, or had ended so before it could be cut.
    if (number === at.CLOSE_END && this.#cut !== undefined) number = this.#cut || at.CLOSE_ABORTED
    return REASONS[number] ?? 'error'
  }

  failed(thrown: unknown): void {
    if (!this.#isOpen) return
    this.abort(at.CLOSE_ERROR)
    // The run ends with this, and the peer is not to wait for the next.
    this.#origin.bridge.flushNow()
    this.#connections.forget(this)
    const error =
      thrown instanceof Error ? thrown : new Error('A callback has thrown', { cause: thrown })
    try {
      this.closed(at.CLOSE_ERROR, error)
    } catch {
      // The first error is the one that the loop stops with.
    }
  }
}
