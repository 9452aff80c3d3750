/** A Handler that writes down what is called. */

import type { EventLoop, EventSet, Handler, Token } from 'miolo'

/** A call, as its callback's name and what came with it. */
export type Call<T, M> =
  | ['ready', Token, string]
  | ['notify', M]
  | ['timeout', T]
  | ['interrupted']
  | ['tick']

export interface Collected<T, M> {
  handler: Handler<T, M>
  calls: Call<T, M>[]
  /** The names of the calls, in their order. */
  names(): string[]
}

/** Writes down every call, and then does what `handler` does. */
export function collect<T = unknown, M = unknown>(handler: Handler<T, M> = {}): Collected<T, M> {
  const calls: Call<T, M>[] = []
  return {
    calls,
    names: () => calls.map(([name]) => name),
    handler: {
      ready(loop: EventLoop<T, M>, token: Token, events: EventSet) {
        calls.push(['ready', token, events.toString()])
        return handler.ready?.(loop, token, events)
      },
      notify(loop, message) {
        calls.push(['notify', message])
        return handler.notify?.(loop, message)
      },
      timeout(loop, timeout) {
        calls.push(['timeout', timeout])
        return handler.timeout?.(loop, timeout)
      },
      interrupted(loop) {
        calls.push(['interrupted'])
        return handler.interrupted?.(loop)
      },
      tick(loop) {
        calls.push(['tick'])
        return handler.tick?.(loop)
      },
    },
  }
}
