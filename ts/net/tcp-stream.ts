import type { brand } from '../brand.ts'
import { native } from '../bridge/binding.ts'
import { invalidValue, systemError } from '../errors.ts'
import { boolean, bytes, integer, lengthOf, word } from '../validate.ts'
import { type AddressLike, parseAddress, type SocketAddress } from './address.ts'
import { type Evented, kRegistrable } from './evented.ts'
import { check, Socket } from './socket.ts'

const { read, write } = native.streamTransfers()

/** By native's numbers. */
const HOW = ['read', 'write', 'both'] as const

/**
 * A TCP connection whose calls never block. mio: `tcp::TcpStream`.
 *
 * Once it is closed every method but `close` throws {@link LoopError} `ERR_MIOLO_CLOSED`. What the system refuses is
 * thrown as an `Error` with its code, such as `ENOTCONN`; arguments that make no sense as `TypeError` or `RangeError`.
 */
export class TcpStream implements Evented {
  declare readonly [brand]: 'Evented'
  /** @internal */
  readonly [kRegistrable]: Socket

  private constructor(socket: Socket) {
    this[kRegistrable] = socket
  }

  /** A stream over a socket that is open. @internal */
  static of(socket: Socket): TcpStream {
    return new TcpStream(socket)
  }

  /**
   * Starts to connect. Once it is `writable` it has connected, or failed: {@link takeError} tells.
   * mio: `TcpStream::connect`.
   *
   * @throws an `Error` as of `node:net` where the system refuses at once; `TypeError` for what is no address.
   */
  static connect(address: AddressLike): TcpStream {
    const { text, address: where } = parseAddress(address)
    return new TcpStream(new Socket(native.streamConnect(text), 'connect', where))
  }

  /**
   * Reads what has come, as far as it fits. mio: `TcpStream::try_read`.
   *
   * @param into not empty. With edge-triggered readiness: read until null or 0. A short read will do only where
   * `events` had no hang-up: the end may have come along with the bytes, and is not told again.
   * @returns how many bytes; null: none have come; 0: the peer has ended its side.
   * @throws an `Error` with the system's code, such as `ECONNRESET`; `ERR_MIOLO_CLOSED`.
   */
  read(into: Uint8Array): number | null {
    if (lengthOf(bytes(into, 'into')) === 0)
      throw invalidValue('into', 'a Uint8Array that is not empty', into)
    const count = read(this[kRegistrable].native(), into)
    if (count >= 0) return count
    if (count === native.WOULD_BLOCK) return null
    throw systemError(count, 'read')
  }

  /**
   * Writes as much as the system takes. mio: `TcpStream::try_write`.
   *
   * @returns how many bytes, possibly fewer than there are; null: none, `ready` with `writable` will tell when.
   * @throws an `Error` with the system's code, such as `EPIPE` or `ECONNRESET`; `ERR_MIOLO_CLOSED`.
   */
  write(from: Uint8Array): number | null {
    const count = write(this[kRegistrable].native(), bytes(from, 'from'))
    if (count >= 0) return count
    if (count === native.WOULD_BLOCK) return null
    throw systemError(count, 'write')
  }

  /** Ends a side of the connection, or both; what was written is still sent. mio: `TcpStream::shutdown`. */
  shutdown(how: 'read' | 'write' | 'both'): void {
    const index = HOW.indexOf(word(how, 'how', HOW))
    check(native.streamShutdown(this[kRegistrable].native(), index), 'shutdown')
  }

  /** The address of the other end. mio: `TcpStream::peer_addr`. @throws `ENOTCONN` before it has connected. */
  peerAddress(): SocketAddress {
    return this[kRegistrable].peerAddress()
  }

  /** The address of this end. mio: `TcpStream::local_addr`. */
  localAddress(): SocketAddress {
    return this[kRegistrable].localAddress()
  }

  /** Sends small writes at once instead of gathering them (Nagle's algorithm). mio: `TcpStream::set_nodelay`. */
  setNodelay(on: boolean): void {
    check(native.streamSetNodelay(this[kRegistrable].native(), boolean(on, 'on')), 'setsockopt')
  }

  /** Probes the peer after so many seconds of silence, 1 to 32 767; null: never. mio: `TcpStream::set_keepalive`. */
  setKeepalive(seconds: number | null): void {
    const value = seconds === null ? 0 : integer(seconds, 'seconds', 1, 32_767)
    check(native.streamSetKeepalive(this[kRegistrable].native(), value), 'setsockopt')
  }

  /**
   * How long the system goes on sending after a close, in seconds, 0 to 65 535. 0 resets the connection instead;
   * null: as long as the system likes, in the background.
   */
  setLinger(seconds: number | null): void {
    const value = seconds === null ? -1 : integer(seconds, 'seconds', 0, 65_535)
    check(native.streamSetLinger(this[kRegistrable].native(), value), 'setsockopt')
  }

  /** Takes the socket's pending error, such as a refused connection. mio: `TcpStream::take_socket_error`. */
  takeError(): Error | null {
    return this[kRegistrable].takeError()
  }

  /** Closes the connection, which deregisters it. Closing twice is fine. */
  close(): void {
    this[kRegistrable].close()
  }

  /** {@link close}, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close()
  }
}
