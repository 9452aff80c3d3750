/** What listeners and streams have in common: a native socket, until it is closed. */

import { native, type NativeAddress, type NativeSocket } from '../bridge/binding.ts'
import { LoopError, systemError } from '../errors.ts'
import { type SocketAddress, socketAddress } from './address.ts'
import type { Registrable } from './evented.ts'

export class Socket implements Registrable {
  registration: Registrable['registration']
  readonly #socket: NativeSocket
  #isClosed = false

  /** `opened` is a socket, or the errno of the call that was to open it. */
  constructor(opened: NativeSocket | number, syscall: string, where?: SocketAddress) {
    if (typeof opened === 'number') throw systemError(opened, syscall, where)
    this.#socket = opened
  }

  native(): NativeSocket {
    if (this.#isClosed) throw new LoopError('ERR_MIOLO_CLOSED')
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

  takeError(syscall: string): Error | null {
    const errno = native.socketTakeError(this.native())
    return errno === 0 ? null : systemError(errno, syscall)
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
