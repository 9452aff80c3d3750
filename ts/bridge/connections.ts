/** The connections of a loop: who they are by slot, what has come for them, and what is to be sent. */

import { callEach, corrupt, systemError } from '../errors.ts'
import { partOf } from '../validate.ts'
import { Inbound, Outbound, spoil } from './arena.ts'
import { native, type NativeLoop } from './binding.ts'
import type { Commands } from './commands.ts'
import * as at from './layout.ts'

/** How much of a large write goes into the arena at once. */
const PIECE_BYTES = 256 * 1024
/** A piece smaller than this is not worth a place of its own at the end of the arena. */
const LEAST_PIECE_BYTES = 16 * 1024

/** Records that a connection need not hear at once. */
const WAITING = new Set([at.EVENT_DATA, at.EVENT_LARGE, at.EVENT_END])

/** A connection, as the bridge sees it. What its methods return is what a callback of the user's returned. */
export interface Endpoint {
  readonly slot: number
  readonly generation: number
  /** How `data` gets its bytes: as a copy, as a view, or as a view that is overwritten afterwards. */
  readonly borrow: boolean | 'checked'
  /** Nothing of it is told any more, but that it has ended. */
  readonly isCut: boolean
  /** Whether what comes waits, and its end as well. When that changes, {@link Connections.look} is to be called. */
  readonly waits: 'no' | 'but for its end' | 'yes'
  /** What has come meanwhile. */
  held: Held[] | undefined
  /** Its slot may be another's from now on. */
  superseded(): void
  /** All that was held back has come. */
  caughtUp(): void
  /** It is held back no more. */
  released(): void
  opened(): unknown
  data(chunk: Buffer): unknown
  ended(): unknown
  drained(): unknown
  /** It has ended. `reason` is one of the `CLOSE_…` numbers. */
  closed(reason: number, error: Error | undefined): unknown
  /** A callback of its has thrown. */
  failed(error: unknown): void
}

/** A record that waits until its connection is read again, and its bytes. */
export interface Held {
  kind: number
  low: number
  high: number
  chunk: Buffer | undefined
}

/** Who makes endpoints of accepted connections. */
export interface Acceptor {
  /** `peer` is an IPv4 address, the first byte the highest, and its port; `undefined` for another kind of address. */
  accept(slot: number, generation: number, peer: { ip: number; port: number } | undefined): Endpoint
  failed(error: Error): unknown
  /** The loop was closed. */
  closed(): void
}

export class Connections {
  readonly #native: NativeLoop
  readonly #commands: Commands
  /** Has what was written sent, now. */
  readonly #flush: () => void
  /** Has it sent soon. */
  readonly #soon: () => void
  readonly #words: Int32Array
  readonly #inbound: Inbound
  readonly #outbound: Outbound
  readonly #endpoints: (Endpoint | undefined)[] = []
  /**
   * Those whose slot may be another's before their own end has been delivered: what is on its way to them still comes.
   */
  readonly #late = new Set<Endpoint>()
  /** Those of which something was held back that may come now. */
  readonly #due = new Set<Endpoint>()
  /** Those that are held back until Node's loop has its next turn. */
  readonly #heldBack = new Set<Endpoint>()
  readonly #acceptors = new Map<number, Acceptor>()

  constructor(loop: NativeLoop, commands: Commands, flush: () => void, soon: () => void) {
    this.#native = loop
    this.#commands = commands
    this.#flush = flush
    this.#soon = soon
    this.#words = new Int32Array(new SharedArrayBuffer(at.CONNECTIONS_WORDS * 4))
    this.#inbound = new Inbound(this.#words)
    this.#outbound = new Outbound(this.#words)
    native.connectionsOpen(loop, this.#words)
    commands.announce(() => native.loopLookOut(loop))
  }

  addServer(server: number, acceptor: Acceptor): void {
    this.#acceptors.set(server, acceptor)
  }

  removeServer(server: number): void {
    this.#acceptors.delete(server)
  }

  /** Takes in a connection that this side has begun. */
  add(endpoint: Endpoint): void {
    const before = this.#endpoints[endpoint.slot]
    if (before !== undefined) this.#addLate(before)
    this.#endpoints[endpoint.slot] = endpoint
  }

  #addLate(endpoint: Endpoint): void {
    endpoint.superseded()
    this.#late.add(endpoint)
  }

  /** Drops a connection that has ended. */
  forget(endpoint: Endpoint): void {
    this.#unlink(endpoint)
    endpoint.held = undefined
    this.look(endpoint)
  }

  #unlink(endpoint: Endpoint): void {
    if (this.#endpoints[endpoint.slot] === endpoint) this.#endpoints[endpoint.slot] = undefined
    else this.#late.delete(endpoint)
  }

  #find(slot: number, generation: number): Endpoint | undefined {
    const endpoint = this.#endpoints[slot]
    if (endpoint?.generation === generation) return endpoint
    for (const late of this.#late) {
      if (late.slot === slot && late.generation === generation) return late
    }
    return undefined
  }

  /**
   * Whose record this is, if it is to be delivered now. If not, what comes with it is kept for later, or dropped if
   * there is nobody whose it is.
   */
  receiver(
    kind: number,
    slot: number,
    generation: number,
    low: number,
    high: number,
  ): Endpoint | Acceptor | undefined {
    if (kind === at.EVENT_SERVER_ERROR) return this.#acceptors.get(slot)
    let endpoint = this.#find(slot, generation)
    if (kind === at.EVENT_OPEN && endpoint === undefined) {
      endpoint = this.#accept(slot, generation, low, high)
    }
    const isEnd = kind === at.EVENT_CLOSE
    if (endpoint === undefined || (endpoint.isCut && !isEnd)) {
      if (kind === at.EVENT_DATA) this.#inbound.release(low, high)
      if (kind === at.EVENT_LARGE) native.connectionsTakeLarge(this.#native)
      return undefined
    }
    if (isEnd) {
      if (endpoint.held === undefined && endpoint.waits !== 'yes') return endpoint
      this.#unlink(endpoint)
      this.#addLate(endpoint)
      this.#hold(endpoint, { kind, low, high, chunk: undefined })
      return undefined
    }
    if ((endpoint.waits === 'no' && endpoint.held === undefined) || !WAITING.has(kind)) {
      return endpoint
    }
    const chunk =
      kind === at.EVENT_DATA
        ? this.#copy(low, high)
        : kind === at.EVENT_LARGE
          ? this.#takeLarge()
          : undefined
    this.#hold(endpoint, { kind, low, high, chunk })
    return undefined
  }

  #hold(endpoint: Endpoint, held: Held): void {
    endpoint.held ??= []
    endpoint.held.push(held)
    this.look(endpoint)
  }

  /** Holds a connection back until Node's loop has its next turn, or will have none. */
  holdBack(endpoint: Endpoint): void {
    if (this.#heldBack.size === 0) setImmediate(() => this.releaseAll())
    this.#heldBack.add(endpoint)
  }

  /** Those that are held back are so no more. */
  releaseAll(): void {
    for (const endpoint of this.#heldBack) endpoint.released()
    this.#heldBack.clear()
  }

  /** Sees whether what was held back of a connection may come by now. Of one that has ended there will be no more. */
  look(endpoint: Endpoint): void {
    const { held, waits } = endpoint
    if (held === undefined || waits === 'yes' || (waits !== 'no' && !this.#late.has(endpoint))) {
      this.#due.delete(endpoint)
    } else {
      this.#due.add(endpoint)
      this.#soon()
    }
  }

  /** Whether something that was held back is to be delivered. */
  get hasDue(): boolean {
    return this.#due.size > 0
  }

  /** Delivers one piece of what was held back, as {@link deliver} does. */
  deliverDue(): unknown {
    const [endpoint] = this.#due as Set<Endpoint> & [Endpoint]
    const held = endpoint.held as Held[]
    const { kind, low, high, chunk } = held.shift() as Held
    const isLast = held.length === 0
    if (isLast) {
      endpoint.held = undefined
      this.#due.delete(endpoint)
    }
    if (endpoint.isCut && kind !== at.EVENT_CLOSE) return undefined
    try {
      return this.deliver(endpoint, kind, low, high, chunk)
    } finally {
      if (isLast) endpoint.caughtUp()
    }
  }

  /** Delivers a record to its {@link receiver}: what the callback returned. */
  deliver(
    receiver: Endpoint | Acceptor,
    kind: number,
    low: number,
    high: number,
    chunk?: Buffer,
  ): unknown {
    if (kind === at.EVENT_SERVER_ERROR) return (receiver as Acceptor).failed(errorOf(low, 'accept'))
    const endpoint = receiver as Endpoint
    try {
      switch (kind) {
        case at.EVENT_DATA:
          return chunk === undefined
            ? this.#deliverData(endpoint, low, high)
            : this.#deliverKept(endpoint, chunk)
        case at.EVENT_OPEN:
          return endpoint.opened()
        case at.EVENT_LARGE:
          return endpoint.data(chunk ?? this.#takeLarge())
        case at.EVENT_END:
          return endpoint.ended()
        case at.EVENT_DRAIN:
          return endpoint.drained()
        case at.EVENT_CLOSE:
          this.forget(endpoint)
          return endpoint.closed(low, high === 0 ? undefined : errorOf(high, 'read'))
        default:
          throw corrupt('an event')
      }
    } catch (error) {
      endpoint.failed(error)
      throw error
    }
  }

  #takeLarge(): Buffer {
    const frame = native.connectionsTakeLarge(this.#native)
    if (frame === null) throw corrupt('a large frame')
    return frame
  }

  #copy(position: number, length: number): Buffer {
    const chunk = this.#inbound.copy(position, length)
    this.#inbound.release(position, length)
    return chunk
  }

  #deliverData(endpoint: Endpoint, position: number, length: number): unknown {
    const inbound = this.#inbound
    if (endpoint.borrow === false) return endpoint.data(this.#copy(position, length))
    const chunk = inbound.borrow(position, length)
    try {
      return endpoint.data(chunk)
    } finally {
      if (endpoint.borrow === 'checked') spoil(chunk)
      inbound.release(position, length)
    }
  }

  /** What was kept is a copy, but whoever borrows is not to rely on that. */
  #deliverKept(endpoint: Endpoint, chunk: Buffer): unknown {
    try {
      return endpoint.data(chunk)
    } finally {
      if (endpoint.borrow === 'checked') spoil(chunk)
    }
  }

  #accept(slot: number, generation: number, low: number, high: number): Endpoint | undefined {
    if (slot >>> 0 >= at.MAX_CONNECTIONS) throw corrupt('the slot of a connection')
    const acceptor = this.#acceptors.get(low === 0 ? high : high & 0xffff)
    const peer = low === 0 ? undefined : { ip: low, port: high >>> 16 }
    const endpoint = acceptor?.accept(slot, generation, peer)
    if (endpoint === undefined) {
      // Its server is gone.
      this.#commands.connection(at.COMMAND_CLOSE, slot, generation, at.CLOSE_SHUTDOWN)
    } else if (this.#endpoints[slot] === undefined) this.#endpoints[slot] = endpoint
    else this.#addLate(endpoint)
    return endpoint
  }

  /** The loop is closed, and all connections with it. Each is told, also where a callback throws. */
  close(): void {
    const open = new Set([...this.#late, ...this.#endpoints.filter((it) => it !== undefined)])
    this.#endpoints.length = 0
    for (const endpoint of open) this.forget(endpoint)
    callEach([
      ...[...open].map((endpoint) => () => void endpoint.closed(at.CLOSE_SHUTDOWN, undefined)),
      ...[...this.#acceptors.values()].map((acceptor) => () => acceptor.closed()),
    ])
    this.#acceptors.clear()
  }

  /** How many bytes of a connection's the system has taken; a count that wraps. */
  sent(slot: number): number {
    return Atomics.load(this.#words, at.SENT + slot)
  }

  /** Has a string or bytes of this length sent: how many bytes there were. */
  write(slot: number, generation: number, data: string | Uint8Array, length: number): number {
    this.#soon()
    if (typeof data !== 'string') return this.#writeBytes(slot, generation, data, length)
    // No character is longer than three bytes in UTF-8, of those that have one place in a string.
    const most = length * 3
    if (most > PIECE_BYTES) {
      const bytes = Buffer.from(data)
      return this.#writeBytes(slot, generation, bytes, bytes.length)
    }
    this.#makeRoom(most)
    const position = this.#outbound.position()
    const written = this.#outbound.writeString(data)
    this.#commands.send(slot, generation, position, written)
    return written
  }

  #writeBytes(slot: number, generation: number, data: Uint8Array, length: number): number {
    let start = 0
    while (start < length) {
      const room = this.#makeRoom(Math.min(length - start, LEAST_PIECE_BYTES))
      const end = Math.min(length, start + Math.min(room, PIECE_BYTES))
      const position = this.#outbound.position()
      const part = end - start
      this.#outbound.writeBytes(part === length ? data : partOf(data, start, end), part)
      this.#commands.send(slot, generation, position, part)
      start = end
    }
    return length
  }

  /** Has what `write` writes leave together. */
  cork<T>(write: () => T): T {
    return this.#commands.cork(write)
  }

  /** At least so much room, which is no more than half of the arena. */
  #makeRoom(least: number): number {
    let room = this.#outbound.room(least)
    if (room === 0) {
      this.#flush()
      room = this.#outbound.room(least)
      if (room === 0) throw corrupt('the outbound arena')
    }
    return room
  }

  /** Asks something of a connection, by one of the `COMMAND_…` kinds. */
  ask(kind: number, slot: number, generation: number, argument = 0): void {
    this.#commands.connection(kind, slot, generation, argument)
    this.#soon()
  }
}

/** The error that a record tells of. */
function errorOf(errno: number, syscall: string): Error {
  if (errno >= 0) throw corrupt('an errno')
  return systemError(errno, syscall)
}
