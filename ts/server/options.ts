import type { NativeConnectionOptions, NativeServerOptions } from '../bridge/binding.ts'
import { invalidType, invalidValue, outOfRange } from '../errors.ts'
import type { ListenOptions } from '../net/tcp-listener.ts'
import { boolean, duration, integer, options } from '../validate.ts'
import { type Framing, nativeFraming } from './framing.ts'

/** How a connection behaves. */
export interface ConnectionOptions {
  /** How what comes is cut into what `data` gets. Default `raw`: as it comes. */
  framing?: Framing
  /**
   * Bytes that wait to be sent, above which `write` returns false: 0 to 2^30, and below `maxWriteBuffer`. Default 65 536,
   * or half of `maxWriteBuffer` if that is less.
   */
  highWaterMark?: number
  /** Bytes at or below which `drain` comes after that: 0 to `highWaterMark`. Default a quarter of it. */
  lowWaterMark?: number
  /** Bytes that may wait to be sent, 1 to 2^31 − 1; with more the connection is closed: `overflow`. Default 2^24. */
  maxWriteBuffer?: number
  /** Milliseconds in which nothing came and nothing could be sent, after which it is closed, up to 2^53; 0: never. Default 0. */
  idleTimeoutMs?: number
  /** Milliseconds after which it is closed in any case, up to 2^53; 0: never. Default 0. */
  lifetimeMs?: number
  /** Whether this side stays open when the peer has ended its own, as in `node:net`. Default false. */
  allowHalfOpen?: boolean
  /** Sends small writes at once. What is written in one batch leaves together anyway. Default true. */
  noDelay?: boolean
  /** Probes a silent peer after so many seconds, 0 to 32 767; 0: never. Default 0. */
  keepAlive?: number
  /**
   * Whether `data` gets a view of shared memory that is valid during the callback only, rather than a copy. `checked`
   * overwrites it afterwards, so that whoever keeps one finds out. Default false.
   */
  borrow?: boolean | 'checked'
}

/** How a server behaves. */
export interface ServerOptions extends ConnectionOptions, ListenOptions {
  /**
   * The most connections at a time; what comes beyond is closed at once, without `open` and `close`, and counted in
   * {@link TcpServer.refused}. 1 to 2^18. Default 65 536.
   */
  maxConnections?: number
  /** The most connections at a time from one address, 1 to 2^32 − 1. Default: no limit but the other. */
  maxConnectionsPerAddress?: number
  /**
   * How many loops serve the connections, 1 to 64: the one that the server was given, and others with a thread each. All
   * of them feed this one JS thread. The first accepts, and they get the connections in turn. The limits are those of all
   * together. The others run while the first is in `run`, with the driver `thread` and the defaults for all else. Default 1.
   */
  loops?: number
}

/** What `connect` can be told beyond how the connection behaves. */
export interface ConnectOptions extends ConnectionOptions {
  /**
   * Milliseconds after which an attempt to connect is given up with `ETIMEDOUT`, up to 2^53; 0: the system's patience.
   * Default 0.
   */
  connectTimeoutMs?: number
}

/** Checked, as the native side takes them. @internal */
export interface ResolvedOptions {
  native: NativeConnectionOptions
  borrow: boolean | 'checked'
  allowHalfOpen: boolean
}

/** @internal */
export interface ResolvedServerOptions extends ResolvedOptions {
  server: NativeServerOptions
  loops: number
}

const LONGEST_MS = 2 ** 53

/** @internal */
export function resolveConnection(given: ConnectionOptions | undefined): ResolvedOptions {
  const from = options(given, 'options')
  const number = (name: keyof ConnectionOptions, missing: number, min: number, max: number) =>
    from[name] === undefined ? missing : integer(from[name], `options.${name}`, min, max)
  const time = (name: 'idleTimeoutMs' | 'lifetimeMs') =>
    from[name] === undefined ? 0 : duration(from[name], `options.${name}`, LONGEST_MS)
  const flag = (name: 'allowHalfOpen' | 'noDelay', missing: boolean) =>
    from[name] === undefined ? missing : boolean(from[name], `options.${name}`)
  const maxWriteBuffer = number('maxWriteBuffer', 2 ** 24, 1, 2 ** 31 - 1)
  const highWaterMark = number('highWaterMark', Math.min(65_536, maxWriteBuffer >> 1), 0, 2 ** 30)
  const lowWaterMark = number('lowWaterMark', highWaterMark >> 2, 0, 2 ** 30)
  // Otherwise `write` is never false in time, or `drain` comes where there is no room.
  if (highWaterMark >= maxWriteBuffer) {
    throw outOfRange('options.highWaterMark', `< maxWriteBuffer, ${maxWriteBuffer}`, highWaterMark)
  }
  if (lowWaterMark > highWaterMark) {
    throw outOfRange('options.lowWaterMark', `<= highWaterMark, ${highWaterMark}`, lowWaterMark)
  }
  const { borrow = false } = from
  if (typeof borrow !== 'boolean') {
    const refuse = typeof borrow === 'string' ? invalidValue : invalidType
    if (borrow !== 'checked') throw refuse('options.borrow', "a boolean or 'checked'", borrow)
  }
  return {
    borrow,
    allowHalfOpen: flag('allowHalfOpen', false),
    native: {
      framing: nativeFraming(from.framing),
      highWaterMark,
      lowWaterMark,
      maxWriteBuffer,
      idleTimeoutMs: time('idleTimeoutMs'),
      lifetimeMs: time('lifetimeMs'),
      noDelay: flag('noDelay', true),
      keepAlive: number('keepAlive', 0, 0, 32_767),
    },
  }
}

/** @internal */
export function resolveServer(given: ServerOptions | undefined): ResolvedServerOptions {
  const from = options(given, 'options')
  const number = (name: keyof ServerOptions, missing: number, min: number, max: number) =>
    from[name] === undefined ? missing : integer(from[name], `options.${name}`, min, max)
  const flag = (name: 'reusePort' | 'ipv6Only') =>
    from[name] === undefined ? false : boolean(from[name], `options.${name}`)
  return {
    ...resolveConnection(given),
    loops: number('loops', 1, 1, 64),
    server: {
      backlog: number('backlog', 1024, 0, 2 ** 31 - 1),
      reusePort: flag('reusePort'),
      ipv6Only: flag('ipv6Only'),
      maxConnections: number('maxConnections', 65_536, 1, 2 ** 18),
      maxConnectionsPerAddress: number('maxConnectionsPerAddress', 2 ** 32 - 1, 1, 2 ** 32 - 1),
    },
  }
}

/** @internal */
export function resolveConnect(
  given: ConnectOptions | undefined,
): ResolvedOptions & { connectTimeoutMs: number } {
  const { connectTimeoutMs = 0 } = options(given, 'options')
  return {
    ...resolveConnection(given),
    connectTimeoutMs: duration(connectTimeoutMs, 'options.connectTimeoutMs', LONGEST_MS),
  }
}
