import type { Duplex } from 'node:stream'

import * as at from '../bridge/layout.ts'
import { invalidType } from '../errors.ts'
import type { SocketAddress } from '../net/address.ts'
import type { ConnectionEnd } from './connection-end.ts'

/** A TCP connection. It is read, written, framed and timed out by whoever turns the loop; here is its end in JavaScript. */
export class Connection<State = unknown> {
  /** For the user: whatever belongs to the connection. Undefined until it is set. */
  declare state: State
  readonly #end: ConnectionEnd<State>

  private constructor(end: ConnectionEnd<State>) {
    this.#end = end
    this.state = undefined as State
  }

  /** The connection whose end this is. @internal */
  static of<State>(end: ConnectionEnd<State>): Connection<State> {
    return new Connection(end)
  }

  /**
   * Has bytes sent. What is written in one batch leaves in one system call, at its end; what the system does not take
   * waits, natively, and goes on while JavaScript does something else. In a long batch the clock is looked at after each
   * 16 callbacks, and what was written is sent if a millisecond has passed. Where a callback goes on computing, the
   * drivers `thread` and `auto` send it some 10 ms later.
   *
   * @param data a string, as UTF-8, or bytes, which are copied.
   * @returns false if more than `highWaterMark` bytes wait, and from then on until {@link ConnectionHandler.drain} has told
   * that few enough do. Also false on a connection that has ended, or was ended from this side: then nothing is written.
   * Where more than `maxWriteBuffer` bytes would wait, the connection is closed: `overflow`. And false on one whose loop
   * does not run: then it is sent when that runs.
   * @throws `TypeError` for what is neither a string nor a Uint8Array.
   */
  write(data: string | Uint8Array): boolean {
    return this.#end.write(data)
  }

  /**
   * Ends this side, when all that was written has been sent. The connection ends when the peer's side has, too.
   *
   * @param data is written before.
   */
  end(data?: string | Uint8Array): void {
    if (data !== undefined) this.#end.write(data)
    this.#end.finish()
  }

  /** Cuts the connection off: the peer sees a reset; what was not sent is lost. `close` comes with `aborted`. */
  abort(): void {
    this.#end.abort(at.CLOSE_ABORTED)
  }

  /**
   * Neither `data` nor `end` comes until {@link resume}. Nothing more is read, so that the peer comes to feel it; what has
   * been read already is kept, and comes then. Should the connection end meanwhile, that comes before its `close`.
   * Silence counts as idle.
   */
  pause(): void {
    this.#end.pause()
  }

  /** Reads again. */
  resume(): void {
    this.#end.resume()
  }

  /**
   * Calls `write`, and has what it writes leave together, as far as the system takes it: in one system call. Otherwise
   * that is so for what a callback writes within some milliseconds.
   *
   * @returns what it returns. Where that is a promise, what is written after its first `await` is not held together.
   * @throws `TypeError` for what is no function.
   */
  cork<T>(write: () => T): T {
    if (typeof write !== 'function') throw invalidType('write', 'a function', write)
    return this.#end.cork(write)
  }

  /**
   * Has what was written sent now, on all connections of the loop, rather than when the batch is over: for a callback
   * that goes on computing.
   */
  flush(): void {
    this.#end.flush()
  }

  /**
   * The stream of this connection, which takes it over: from now on its handler is not called, but for `close`. To be
   * called while nothing has been missed, as in `open`.
   *
   * It is a Duplex that behaves as a `net.Socket` does in `pipeline()`: `end()` ends this side, and so does the peer's
   * end, unless `allowHalfOpen` is set; `destroy()` closes the connection, and what the system has not taken by then is
   * lost. What the peer or the system does to the connection is an `error`, with the code that `node:net` has for it.
   * {@link abort}, and the end of the server or the loop, destroy it without one. What else a `net.Socket` has, it lacks.
   */
  toStream(): Duplex {
    return this.#end.stream()
  }

  /** How many bytes wait to be sent. */
  get bufferedAmount(): number {
    return this.#end.buffered()
  }

  /** The peer's address. */
  get remoteAddress(): SocketAddress | undefined {
    return this.#end.address(true)
  }

  /** The address on this side; undefined if it is asked for only when the connection has ended. */
  get localAddress(): SocketAddress | undefined {
    return this.#end.address(false)
  }
}
