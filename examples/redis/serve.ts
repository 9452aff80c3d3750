// A loop and a TcpServer that speak Redis: examples/redis.ts runs them, and so does `npm start`.

import { EventLoop, type EventLoopConfig, TcpServer, TimerError, type TimeoutHandle } from 'miolo'

import { Service, type Session } from './commands.ts'
import { type Key, Store } from './store.ts'

/** The replies to many requests at once are longer than the usual 64 KiB. */
const HIGH_WATER_MARK = 2 ** 20

/** A server that does not listen yet, and how to run and to end it. */
export function redis(driver?: EventLoopConfig['driver']) {
  // Each key that expires has a timeout, of which there may be millions: room is taken as it is needed.
  const loop = new EventLoop<Key>({ ...(driver && { driver }), timerCapacity: 2 ** 24 })

  const store = new Store({
    now: () => performance.now(),
    set(key, ms) {
      try {
        return loop.timeoutMs(key, ms)
      } catch (error) {
        if (error instanceof TimerError) return undefined
        throw error
      }
    },
    clear(handle: TimeoutHandle | undefined) {
      if (handle !== undefined) loop.clearTimeout(handle)
    },
  })
  const service = new Service(store)

  const server = new TcpServer<Session>(
    loop,
    {
      open(connection) {
        connection.state = service.open(connection)
      },
      // The chunk is lent: a Session copies what it keeps.
      data(connection, chunk) {
        connection.state.receive(chunk)
      },
      drain(connection) {
        connection.state.drain()
      },
      end(connection) {
        connection.state.end()
      },
      close(connection) {
        connection.state.close()
      },
      error(error) {
        console.error(`redis: ${error.message}`)
      },
    },
    {
      framing: 'raw',
      borrow: true,
      // A client that has sent its last byte may still wait for replies.
      allowHalfOpen: true,
      // A Session stops there, but for the reply that it is at.
      highWaterMark: HIGH_WATER_MARK,
      maxWriteBuffer: 2 * service.limits.maxReply,
    },
  )

  return {
    server,
    /** Serves until it is stopped. */
    run: () => loop.run({ timeout: (_loop, key) => store.expire(key) }),
    async stop() {
      await server.close({ deadlineMs: 1000 })
      loop.shutdown()
    },
    /** To be called when it does not run any more. */
    close: () => loop.close(),
  }
}
