import { native } from '../bridge/binding.ts'
import { closed, systemError } from '../errors.ts'
import { bridgeOf, type EventLoop } from '../event-loop.ts'
import { type AddressLike, parseAddress } from '../net/address.ts'
import { checkHandler } from '../validate.ts'
import type { Connection } from './connection.ts'
import { ConnectionEnd } from './connection-end.ts'
import { CALLBACKS, type ConnectionHandler } from './connection-handler.ts'
import { type ConnectOptions, resolveConnect } from './options.ts'

/**
 * Begins a TCP connection. The loop has to run for it to be made.
 *
 * @param handler what happens to the connection; its `open` comes before the promise resolves. Without `data`, all that
 * comes before Node's loop has its next turn waits until then: for {@link Connection.toStream}, called right after the
 * `await`. In `runSync`, where Node's loop has none, it does not.
 * @returns a promise of the connection, also of one that `open` has ended; it rejects with what the system says, as in
 * `node:net`: `ECONNREFUSED`, `ETIMEDOUT`, …, and with `ERR_MIOLO_CLOSED` if the loop is closed before.
 * @throws `TypeError` or `RangeError` for arguments that make no sense; `ERR_MIOLO_CLOSED` if the loop is.
 */
export function connect<State = unknown>(
  loop: EventLoop<never, never>,
  address: AddressLike,
  handler: ConnectionHandler<State> = {},
  options?: ConnectOptions,
): Promise<Connection<State>> {
  const bridge = bridgeOf(loop)
  const { text, address: where } = parseAddress(address)
  checkHandler(handler, CALLBACKS)
  const resolved = resolveConnect(options)
  if (bridge.closed) throw closed('event loop')
  const connections = bridge.connections()
  const { native: nativeOptions, connectTimeoutMs } = resolved
  const begun = native.connectionConnect(bridge.native, text, nativeOptions, connectTimeoutMs)
  if (typeof begun === 'number') return Promise.reject(systemError(begun, 'connect', where))
  return new Promise((resolve, reject) => {
    let isMade = false
    const origin = {
      bridge,
      options: resolved,
      handler: {
        open(conn: Connection<State>) {
          isMade = true
          end.handler = handler
          resolve(conn)
          if (handler.data === undefined) end.holdBack()
          return handler.open?.(conn)
        },
      },
      gone(_: unknown, _reason: unknown, error: Error | undefined) {
        if (isMade) return
        const errno = (error as NodeJS.ErrnoException | undefined)?.errno
        if (errno !== undefined) reject(systemError(errno, 'connect', where))
        else reject(closed('event loop'))
      },
    }
    const end: ConnectionEnd<State> = new ConnectionEnd(origin, begun.slot, begun.generation)
    connections.add(end)
    bridge.pumpSoon()
  })
}
