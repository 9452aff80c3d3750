import type { brand } from '../brand.ts'
import type { NativeSocket } from '../bridge/binding.ts'
import { invalidType } from '../errors.ts'

/** The key under which a socket shows its side that is turned to the loop. @internal */
export const kRegistrable: unique symbol = Symbol('miolo.registrable')

/** What an event loop can watch: a `TcpListener` or a `TcpStream`. mio: `Evented`. */
export interface Evented {
  readonly [brand]: 'Evented'
  /** @internal */
  readonly [kRegistrable]: Registrable
}

/** How a loop sees a socket. @internal */
export interface Registrable {
  /** Which loop watches the socket, and under which slot. */
  registration: { bridge: { forget(source: Registrable): void }; slot: number } | undefined
  /** The native socket; throws if it has been closed. */
  native(): NativeSocket
}

/** @internal */
export function registrable(source: Evented): Registrable {
  // A symbol that only this package has, so nothing else can have put anything there.
  const found = (source as Evented | null | undefined)?.[kRegistrable]
  if (found === undefined) throw invalidType('source', 'a TcpListener or a TcpStream', source)
  return found
}
