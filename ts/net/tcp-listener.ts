import type { brand } from '../brand.ts'
import { native } from '../bridge/binding.ts'
import { systemError } from '../errors.ts'
import { boolean, integer, options as optional } from '../validate.ts'
import { type AddressLike, parseAddress, type SocketAddress, socketAddress } from './address.ts'
import { type Evented, kRegistrable } from './evented.ts'
import { Socket } from './socket.ts'
import { TcpStream } from './tcp-stream.ts'

/** What a listener can be told before it binds. */
export interface ListenOptions {
  /** The most connections that wait to be accepted: 0 to 2^31 − 1. Default 1024. */
  backlog?: number
  /** Lets several listeners, in several processes or threads, share the port. Default false. */
  reusePort?: boolean
  /** Keeps an IPv6 listener from taking IPv4 connections, too. Default false. */
  ipv6Only?: boolean
}

/**
 * A TCP socket that accepts connections, and never blocks. mio: `tcp::TcpListener`.
 *
 * Once it is closed every method but `close` throws {@link LoopError} `ERR_MIOLO_CLOSED`.
 */
export class TcpListener implements Evented {
  declare readonly [brand]: 'Evented'
  /** @internal */
  readonly [kRegistrable]: Socket

  private constructor(socket: Socket) {
    this[kRegistrable] = socket
  }

  /**
   * Listens on an address, such as `127.0.0.1:0` for any free port. The address can be used again right after a
   * listener on it is gone (`SO_REUSEADDR`). mio: `TcpListener::bind`.
   *
   * @throws an `Error` as of `node:net`: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`; `TypeError` for what is no address;
   * `TypeError` or `RangeError` for options that make no sense.
   */
  static bind(address: AddressLike, options?: ListenOptions): TcpListener {
    const { text, address: where } = parseAddress(address)
    const { backlog = 1024, reusePort = false, ipv6Only = false } = optional(options, 'options')
    const bound = native.listenerBind(text, {
      backlog: integer(backlog, 'options.backlog', 0, 2 ** 31 - 1),
      reusePort: boolean(reusePort, 'options.reusePort'),
      ipv6Only: boolean(ipv6Only, 'options.ipv6Only'),
    })
    return new TcpListener(new Socket(bound, 'listen', where))
  }

  /**
   * The next waiting connection, or null if there is none now. mio: `TcpListener::accept`.
   *
   * @throws an `Error` with the system's code, `EMFILE` and `ECONNABORTED` among them; the listener is unharmed.
   */
  accept(): { stream: TcpStream; peer: SocketAddress } | null {
    const accepted = native.listenerAccept(this[kRegistrable].native())
    if (accepted === native.WOULD_BLOCK) return null
    if (typeof accepted === 'number') throw systemError(accepted, 'accept')
    const stream = TcpStream.of(new Socket(accepted.socket, 'accept'))
    return { stream, peer: socketAddress(accepted.peer) }
  }

  /** The address that it listens on, with the port that the system chose. mio: `TcpListener::local_addr`. */
  localAddress(): SocketAddress {
    return this[kRegistrable].localAddress()
  }

  /** Takes the socket's pending error, if it has one. mio: `TcpListener::take_socket_error`. */
  takeError(): Error | null {
    return this[kRegistrable].takeError()
  }

  /** Closes the socket, which deregisters it. Connections that wait are reset. Closing twice is fine. */
  close(): void {
    this[kRegistrable].close()
  }

  /** {@link close}, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close()
  }
}
