/** The connections of a loop: who they are by slot, what has come for them, and what is to be sent. */

import { corrupt, systemError } from '../errors.ts'
import { Inbound, Outbound } from './arena.ts'
import { native, type NativeLoop } from './binding.ts'
import type { Commands } from './commands.ts'
import * as at from './layout.ts'

/** How much of a large write goes into the arena at once. */
const PIECE_BYTES = 256 * 1024
/** A piece smaller than this is not worth a place of its own at the end of the arena. */
const LEAST_PIECE_BYTES = 16 * 1024

/** A connection, as the bridge sees it. What its methods return is what a callback of the user's returned. */
export interface Endpoint {
  readonly slot: number
  readonly generation: number
  /** How `data` gets its bytes: as a copy, as a view, or as a view that is overwritten afterwards. */
  readonly borrow: boolean | 'checked'
  opened(): unknown
  data(chunk: Buffer): unknown
  ended(): unknown
  drained(): unknown
  /** It has ended. `reason` is one of the `CLOSE_…` numbers. */
  closed(reason: number, error: Error | undefined): unknown
  /** A callback of its has thrown. */
  failed(error: unknown): void
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
   * Those whose slot `connect` was given before their own end has been delivered: what is on its way to them still comes.
   */
  readonly #late: Endpoint[] = []
  #isClosed = false
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
    if (before !== undefined) this.#late.push(before)
    this.#endpoints[endpoint.slot] = endpoint
  }

  /** Drops a connection that has ended. */
  forget(endpoint: Endpoint): void {
    if (this.#endpoints[endpoint.slot] === endpoint) this.#endpoints[endpoint.slot] = undefined
    else {
      const index = this.#late.indexOf(endpoint)
      if (index >= 0) this.#late.splice(index, 1)
    }
  }

  #find(slot: number, generation: number): Endpoint | undefined {
    const endpoint = this.#endpoints[slot]
    if (endpoint?.generation === generation) return endpoint
    if (this.#late.length === 0) return undefined
    return this.#late.find((late) => late.slot === slot && late.generation === generation)
  }

  /** Delivers a record: what the callback returned; `undefined`, too, if there was nobody to call. */
  deliver(kind: number, slot: number, generation: number, low: number, high: number): unknown {
    if (kind === at.EVENT_SERVER_ERROR) {
      return this.#acceptors.get(slot)?.failed(errorOf(low, 'accept'))
    }
    let endpoint = this.#find(slot, generation)
    if (kind === at.EVENT_OPEN && endpoint === undefined) {
      endpoint = this.#accept(slot, generation, low, high)
    }
    if (endpoint === undefined) {
      if (kind === at.EVENT_DATA) this.#inbound.release(low, high)
      if (kind === at.EVENT_LARGE) native.connectionsTakeLarge(this.#native)
      return undefined
    }
    try {
      switch (kind) {
        case at.EVENT_DATA:
          return this.#deliverData(endpoint, low, high)
        case at.EVENT_OPEN:
          return endpoint.opened()
        case at.EVENT_LARGE: {
          const frame = native.connectionsTakeLarge(this.#native)
          if (frame === null) throw corrupt('a large frame')
          return endpoint.data(frame)
        }
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

  #deliverData(endpoint: Endpoint, position: number, length: number): unknown {
    const inbound = this.#inbound
    if (endpoint.borrow === false) {
      const chunk = inbound.copy(position, length)
      inbound.release(position, length)
      return endpoint.data(chunk)
    }
    const chunk = inbound.borrow(position, length)
    try {
      return endpoint.data(chunk)
    } finally {
      if (endpoint.borrow === 'checked') inbound.spoil(position, length)
      inbound.release(position, length)
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
    else this.#late.push(endpoint)
    return endpoint
  }

  /** The loop is closed, and all connections with it. Each is told, also where a callback throws. */
  close(): void {
    this.#isClosed = true
    const errors: unknown[] = []
    const open = [...this.#late, ...this.#endpoints]
    this.#late.length = this.#endpoints.length = 0
    for (const endpoint of open) {
      if (endpoint === undefined) continue
      try {
        endpoint.closed(at.CLOSE_SHUTDOWN, undefined)
      } catch (error) {
        errors.push(error)
      }
    }
    for (const acceptor of this.#acceptors.values()) acceptor.closed()
    this.#acceptors.clear()
    if (errors.length > 0) throw errors[0]
  }

  /** How many bytes of a connection's the system has taken; a count that wraps. */
  sent(slot: number): number {
    return Atomics.load(this.#words, at.SENT + slot)
  }

  /** Has bytes sent: how many there were. */
  write(slot: number, generation: number, data: string | Uint8Array): number {
    this.#soon()
    if (typeof data !== 'string') return this.#writeBytes(slot, generation, data)
    // No character is longer than three bytes in UTF-8, of those that have one place in a string.
    const most = data.length * 3
    if (most > PIECE_BYTES) return this.#writeBytes(slot, generation, Buffer.from(data))
    this.#makeRoom(most)
    const position = this.#outbound.position()
    const length = this.#outbound.writeString(data)
    this.#commands.send(slot, generation, position, length)
    return length
  }

  #writeBytes(slot: number, generation: number, data: Uint8Array): number {
    const { length } = data
    let start = 0
    while (start < length) {
      const room = this.#makeRoom(Math.min(length - start, LEAST_PIECE_BYTES))
      const end = Math.min(length, start + Math.min(room, PIECE_BYTES))
      const position = this.#outbound.position()
      this.#outbound.writeBytes(data, start, end)
      this.#commands.send(slot, generation, position, end - start)
      start = end
    }
    return length
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
    // There is nobody to ask. Others may be told of their end in this moment, and ask of those that have not been.
    if (this.#isClosed) return
    this.#commands.connection(kind, slot, generation, argument)
    this.#soon()
  }
}

/** The error that a record tells of. */
function errorOf(errno: number, syscall: string): Error {
  if (errno >= 0) throw corrupt('an errno')
  return systemError(errno, syscall)
}
