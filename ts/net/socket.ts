/** What listeners and streams have in common: a native socket, until it is closed. */

import { native, type NativeAddress, type NativeSocket } from '../bridge/binding.ts'
import { closed, systemError } from '../errors.ts'
import { type SocketAddress, socketAddress } from './address.ts'
import type { Registrable } from './evented.ts'

export class Socket implements Registrable {
  registration: Registrable['registration']
  readonly #socket: NativeSocket
  /** Where a stream was to connect to: most refusals come later than the call, and tell it, too. */
  readonly #target: SocketAddress | undefined
  #isClosed = false

  /** `opened` is a socket, or the errno of the call that was to open it. */
  constructor(opened: NativeSocket | number, syscall: string, where?: SocketAddress) {
    if (typeof opened === 'number') throw systemError(opened, syscall, where)
    this.#socket = opened
    if (syscall === 'connect') this.#target = where
  }

  native(): NativeSocket {
    if (this.#isClosed) throw closed('socket')
    return this.#socket
  }

  close(): void {
    if (this.#isClosed) return
    this.registration?.bridge.forget(this)
    this.#isClosed = true
    native.socketClose(this.#socket)
  }

  localAddress(): SocketAddress {
    return address(native.socketLocalAddress(this.native()), 'getsockname')
  }

  peerAddress(): SocketAddress {
    return address(native.streamPeerAddress(this.native()), 'getpeername')
  }

  takeError(): Error | null {
    const errno = native.socketTakeError(this.native())
    if (errno === 0) return null
    // The system does not say what has failed. Where a stream connects it is the connecting, for the most part.
    const syscall = this.#target === undefined ? 'getsockopt' : 'connect'
    return systemError(errno, syscall, this.#target)
  }
}

/** Throws if a call returned an errno. */
export function check(errno: number, syscall: string): void {
  if (errno < 0) throw systemError(errno, syscall)
}

function address(result: NativeAddress | number, syscall: string): SocketAddress {
  if (typeof result === 'number') throw systemError(result, syscall)
  return socketAddress(result)
}
