import type { Connection } from './connection.ts'

/**
 * Why a connection has ended.
 *
 * | reason | |
 * |---|---|
 * | `end` | both sides have ended it, in order |
 * | `reset` | the peer has reset it |
 * | `aborted` | {@link Connection.abort}, or its stream was destroyed |
 * | `idle` | nothing came and nothing could be sent for `idleTimeoutMs` |
 * | `lifetime` | it has lasted for `lifetimeMs` |
 * | `overflow` | more than `maxWriteBuffer` bytes waited to be sent |
 * | `frame-too-long` | a frame was longer than its maximum, or had an impossible length |
 * | `over-limit` | refused because of the limits; `close` never has it, as such a connection is never open (see {@link TcpServer.refused}) |
 * | `shutdown` | it had not ended by the deadline of {@link TcpServer.close}, or the loop was closed |
 * | `error` | a callback has thrown, or the system has refused something; the error comes with it |
 */
export type CloseReason =
  | 'end'
  | 'reset'
  | 'aborted'
  | 'idle'
  | 'lifetime'
  | 'overflow'
  | 'frame-too-long'
  | 'over-limit'
  | 'shutdown'
  | 'error'

/** By native's numbers. @internal */
export const REASONS: readonly CloseReason[] = [
  'end',
  'reset',
  'aborted',
  'idle',
  'lifetime',
  'overflow',
  'frame-too-long',
  'over-limit',
  'shutdown',
  'error',
]

/** The names of the callbacks, a server's among them. @internal */
export const CALLBACKS = ['open', 'data', 'end', 'drain', 'close', 'error'] as const

/**
 * What happens to connections. Every callback may be left out. For each connection there is one `open`, then what
 * comes, then one `close`.
 *
 * A callback that throws, or returns a promise that rejects, stops the loop, as any callback does: so what a peer can bring
 * about, such as the failure of a pipeline, is to be caught and not returned. One that throws also
 * closes its connection, with the reason `error`: `close` is called at once.
 */
export interface ConnectionHandler<State = unknown> {
  /** The connection is there. */
  open?(conn: Connection<State>): void
  /**
   * Bytes have come: a whole frame, where there is framing. `chunk` is the receiver's own; with the option `borrow` it
   * is valid during the callback only.
   */
  data?(conn: Connection<State>, chunk: Buffer): void
  /**
   * The peer will send no more. Unless `allowHalfOpen` is set, this side ends when the callback has returned; what was
   * written by then is sent before.
   */
  end?(conn: Connection<State>): void
  /**
   * After a `write` that was false: few enough bytes wait to be sent for more to be written. On a connection that was
   * ended from this side meanwhile: all has been sent.
   */
  drain?(conn: Connection<State>): void
  /** The connection has ended; nothing more of it comes. `error` is there where the reason is `error`. */
  close?(conn: Connection<State>, reason: CloseReason, error?: Error): void
}

/** The callbacks of a server. */
export interface ServerHandler<State = unknown> extends ConnectionHandler<State> {
  /**
   * A connection could not be accepted: `EMFILE`, `ENOBUFS`, `ECONNABORTED` and the like. The server tries again by
   * itself; that it still cannot is not told again. Without this callback such errors are dropped.
   */
  error?(error: Error): void
}
