import type { EventLoop } from './event-loop.ts'
import type { EventSet } from './event-set.ts'

/**
 * The user's name for a registered socket: any integer from 0 to 2^53 − 1. Two sockets may share one.
 * mio: `Token`.
 */
export type Token = number

/**
 * What an event loop calls. Every callback may be left out, and each gets the loop, on which it may call anything.
 * mio: `Handler`.
 *
 * In one iteration they come in this order: `interrupted`, `ready`…, `notify`…, `timeout`…, `tick`. A callback that
 * throws, or returns a promise that rejects while the loop runs, stops the loop: `run()` rejects with that error. Promises' reactions run
 * when the batch has been delivered, not between two of its callbacks.
 */
export interface Handler<Timeout = unknown, Message = unknown> {
  /**
   * A registered socket is ready. What happened to it since its last `ready` comes merged in `events`; at most one
   * call per socket and iteration. mio: `Handler::ready`.
   */
  ready?(loop: EventLoop<Timeout, Message>, token: Token, events: EventSet): void
  /** A message from a {@link Sender}, in the order it was sent. mio: `Handler::notify`. */
  notify?(loop: EventLoop<Timeout, Message>, message: Message): void
  /** A timeout is due; `timeout` is the payload it was set with. Never early. mio: `Handler::timeout`. */
  timeout?(loop: EventLoop<Timeout, Message>, timeout: Timeout): void
  /**
   * The poll was ended by {@link EventLoop.interrupt}, or by a signal that came to the thread that sleeps in it: in
   * `runSync`. In `run`, where Node sleeps, signals go to `process.on`. mio: `Handler::interrupted`.
   */
  interrupted?(loop: EventLoop<Timeout, Message>): void
  /**
   * The iteration ends; nothing of it is delivered after this call, so here is the place to release what its other
   * callbacks may have used. Not called where an iteration brought nothing. mio: `Handler::tick`.
   */
  tick?(loop: EventLoop<Timeout, Message>): void
}
