import { isIPv6 } from 'node:net'

import { native, type NativeAddress } from '../bridge/binding.ts'
import { invalidType, invalidValue } from '../errors.ts'
import { integer, object } from '../validate.ts'

/** One end of a connection, as `socket.address()` of `node:net` tells it. */
export interface SocketAddress {
  /** An IPv4 or IPv6 address. */
  address: string
  /** Which of the two. */
  family: 'IPv4' | 'IPv6'
  /** 0 to 65 535. */
  port: number
}

/**
 * An address as users write it: `127.0.0.1:8080`, `[::1]:8080`, or in two parts; or as another socket tells it. Host
 * names are not looked up, and an IPv6 address has no zone (`%eth0`).
 */
export type AddressLike =
  | string
  | { host: string; port: number }
  | Pick<SocketAddress, 'address' | 'port'>

/** An address that the native side will understand. @internal */
export function parseAddress(given: AddressLike): { text: string; address: SocketAddress } {
  const text = typeof given === 'string' ? given : join(given)
  const parsed = native.addressParse(text)
  if (parsed === null) {
    throw invalidValue('address', "an IP address and a port, such as '127.0.0.1:8080'", given)
  }
  return { text, address: socketAddress(parsed) }
}

/** @internal */
export function socketAddress({ address, port }: NativeAddress): SocketAddress {
  return { address, family: isIPv6(address) ? 'IPv6' : 'IPv4', port }
}

/** As {@link AddressLike} has it in one piece. @internal */
export function format({ address, port }: Pick<SocketAddress, 'address' | 'port'>): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`
}

function join(given: Exclude<AddressLike, string>): string {
  const { port } = object(given, 'address', 'a string or an object')
  const host: unknown = 'host' in given ? given.host : given.address
  if (typeof host !== 'string') throw invalidType('address.host', 'a string', host)
  integer(port, 'address.port', 0, 65_535)
  return format({ address: host, port })
}
