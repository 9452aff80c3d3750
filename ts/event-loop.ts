import { Bridge, kBridge } from './bridge/bridge.ts'
import { type EventLoopConfig, resolve } from './config.ts'
import { closed, invalidType, LoopError } from './errors.ts'
import { EventSet } from './event-set.ts'
import type { Handler, Token } from './handler.ts'
import type { LoopMetrics } from './metrics.ts'
import { type Evented, registrable } from './net/evented.ts'
import { PollOpt } from './poll-opt.ts'
import { Sender } from './sender.ts'
import type { TimeoutHandle } from './timeout-handle.ts'
import { checkHandler, duration, integer } from './validate.ts'

const CALLBACKS = ['ready', 'notify', 'timeout', 'interrupted', 'tick'] as const
/** What setTimeout can wait for. */
const LONGEST_RUN_ONCE = 2 ** 31 - 1

/**
 * mio's event loop: sockets, timeouts and messages, served to one {@link Handler}. mio: `EventLoop`.
 *
 * `Timeout` is what timeouts carry, `Message` what Senders send.
 *
 * On a loop that was closed every method throws {@link LoopError} `ERR_MIOLO_CLOSED`, but for `isRunning`, `hasRef` and
 * `close`.
 *
 * ```ts
 * const loop = new EventLoop<string>()
 * loop.timeoutMs('hello', 100)
 * await loop.run({ timeout: (loop, word) => { console.log(word); loop.shutdown() } })
 * ```
 */
export class EventLoop<Timeout = unknown, Message = unknown> implements Disposable {
  readonly #bridge: Bridge<Timeout, Message>
  /** Until `shutdown`, and again once the loop is run. */
  #running = true
  /** A `shutdown` that the next `run` is to see. */
  #shutdown = false
  /** Connections are being told that it closes. */
  #isClosing = false

  /**
   * Makes a loop that stands still; its thread, where its driver has one, starts with the first `run`.
   *
   * @throws `TypeError` or `RangeError` for a configuration that makes no sense; the system's error, such as `EMFILE`, if
   * it refuses.
   */
  constructor(config?: EventLoopConfig) {
    this.#bridge = new Bridge(this, resolve(config))
  }

  /**
   * Runs until `shutdown()` is called, and keeps the process alive meanwhile (see {@link unref}). A `shutdown()`
   * before it is not lost: then it returns at once. It can be run again; sockets, timeouts and messages stay.
   * mio: `EventLoop::run`.
   *
   * An event that the handler has no callback for is used up all the same.
   *
   * @returns a promise that rejects with what a callback has thrown, or with what a promise that one has returned rejects
   * with. One that does so only when the run is over is an unhandled rejection.
   * @throws at once: `ERR_MIOLO_RUNNING`, `ERR_MIOLO_CLOSED`, `TypeError` if the handler is none; the system's error, such
   * as `EMFILE`, if it refuses.
   */
  run(handler: Handler<Timeout, Message>): Promise<void> {
    this.#checkRunnable(handler)
    if (this.#takeShutdown()) return Promise.resolve()
    return this.#bridge.run(handler, () => this.#running)
  }

  /**
   * One iteration: waits for something to happen, for `timeoutMs` milliseconds at most (without end if left out),
   * and delivers it. Neither heeds nor clears a `shutdown()`. mio: `EventLoop::run_once`.
   *
   * @returns a promise that resolves when the iteration is over; it rejects with what a callback has thrown.
   * @throws as {@link run}, and `ERR_OUT_OF_RANGE` for a time below 0 or above 2^31 − 1.
   */
  runOnce(handler: Handler<Timeout, Message>, timeoutMs?: number): Promise<void> {
    this.#checkRunnable(handler)
    const limit =
      timeoutMs === undefined ? undefined : duration(timeoutMs, 'timeoutMs', LONGEST_RUN_ONCE)
    return this.#bridge.runOnce(handler, limit)
  }

  /**
   * Runs as {@link run} does, but on this thread alone, which sleeps in the loop's own poll: the shortest way from an
   * event to a callback. Node's own loop stands still meanwhile: no promise, timer or stream of Node's goes on, and no
   * signal comes to `process.on`: one that is listened to there calls `interrupted`. For workers and command-line
   * programs.
   *
   * @throws what a callback has thrown; `ERR_MIOLO_ASYNC_IN_RUN_SYNC` if one returns a promise;
   * `ERR_MIOLO_LOOPS_IN_RUN_SYNC` where a server has `loops`; as {@link run}.
   */
  runSync(handler: Handler<Timeout, Message>): void {
    this.#checkRunnable(handler)
    if (this.#takeShutdown()) return
    this.#bridge.runSync(handler, () => this.#running)
  }

  /**
   * Asks the loop to stop: what is left of the batch in progress is still delivered, its `tick` included; then `run`
   * returns. Before `run`, it makes the next `run` return at once. mio: `EventLoop::shutdown`.
   */
  shutdown(): void {
    if (this.#isClosing) return
    this.#checkOpen()
    this.#running = false
    if (this.#bridge.heedsShutdown()) this.#bridge.pumpSoon()
    else this.#shutdown = true
  }

  /**
   * True from creation until `shutdown`, and again once the loop is run; false after a `run` that returned at once.
   * mio: `EventLoop::is_running`.
   */
  isRunning(): boolean {
    return this.#running && !this.#bridge.closed
  }

  /** A Sender of messages to this loop. Any number of them may be used at once. mio: `EventLoop::channel`. */
  channel(): Sender<Message> {
    this.#checkOpen()
    return Sender.to(this.#bridge)
  }

  /**
   * Has `timeout` delivered once, `delayMs` milliseconds from now at the earliest. mio: `EventLoop::timeout_ms`.
   *
   * @param timeout any value; it is passed by reference.
   * @param delayMs 0 to 2^53, fractions allowed.
   * @throws {@link TimerError} when `timerCapacity` timeouts are set; `ERR_OUT_OF_RANGE`.
   */
  timeoutMs(timeout: Timeout, delayMs: number): TimeoutHandle {
    this.#checkOpen()
    duration(delayMs, 'delayMs', 2 ** 53)
    return this.#bridge.setTimer(timeout, delayMs)
  }

  /**
   * Takes a timeout back. mio: `EventLoop::clear_timeout`.
   *
   * @param handle of this loop's `timeoutMs`.
   * @returns true if it will not be delivered, also where it is due already; false if it was delivered or cleared.
   * @throws `TypeError` for what is no number; a number that is no handle is false.
   */
  clearTimeout(handle: TimeoutHandle): boolean {
    this.#checkOpen()
    if (typeof handle !== 'number') throw invalidType('handle', 'a timeout handle', handle)
    return this.#bridge.clearTimer(handle)
  }

  /**
   * Has the loop watch a socket. mio: `EventLoop::register`.
   *
   * @param source a listener or stream that no loop watches yet.
   * @param token any integer from 0 to 2^53 − 1; it comes back with each `ready`.
   * @param interest what to tell; errors and hang-ups are told with it, whatever it is, but for an empty one.
   * @param opt how to tell it.
   * @throws `EEXIST` if this loop watches it already, `ERR_MIOLO_REGISTERED_ELSEWHERE` if another does,
   * `ERR_MIOLO_TOO_MANY_REGISTRATIONS` if this one watches 2^18 sockets; `TypeError` or `RangeError` for arguments that
   * make no sense.
   */
  register(source: Evented, token: Token, interest: EventSet, opt: PollOpt): void {
    this.#bridge.register(registrable(source), ...this.#registration(token, interest, opt))
  }

  /**
   * Changes what a watched socket is watched for, and under which token. What was held back is dropped; if the socket
   * is still ready, that is told again. mio: `EventLoop::reregister`.
   *
   * @throws `ENOENT` if no loop watches it, `ERR_MIOLO_REGISTERED_ELSEWHERE` if another does.
   */
  reregister(source: Evented, token: Token, interest: EventSet, opt: PollOpt): void {
    this.#bridge.reregister(registrable(source), ...this.#registration(token, interest, opt))
  }

  /**
   * Has the loop look away: once this returns, nothing of the socket is delivered, not even what was on its way.
   * mio: `EventLoop::deregister`.
   *
   * @throws as {@link reregister}.
   */
  deregister(source: Evented): void {
    this.#checkOpen()
    this.#bridge.deregister(registrable(source))
  }

  /** Ends the poll as a signal would: `interrupted` is called, once for all calls since the last time. */
  interrupt(): void {
    this.#checkOpen()
    this.#bridge.interrupt()
  }

  /** What the loop has done so far. No native call is made for it. */
  metrics(): LoopMetrics {
    this.#checkOpen()
    return this.#bridge.metrics()
  }

  /** A running loop keeps the process alive; so it is from the beginning. */
  ref(): this {
    this.#checkOpen()
    this.#bridge.keepAlive(true)
    return this
  }

  /**
   * A running loop does not keep the process alive. Where nothing else does, the loop is closed as the process exits, and
   * what is behind an `await` of its `run` comes too late for anything but what is synchronous.
   */
  unref(): this {
    this.#checkOpen()
    this.#bridge.keepAlive(false)
    return this
  }

  /** Whether a running loop keeps the process alive. */
  hasRef(): boolean {
    return this.#bridge.hasRef
  }

  /**
   * Ends the loop for good, and its thread: sockets are deregistered, timeouts and messages dropped, Senders get
   * Closed. Connections are told, by `close` with `shutdown`, and a pending `connect` rejects. A `run` in progress
   * resolves. Closing twice is fine. mio: dropping the `EventLoop`.
   *
   * @throws what a connection's `close` throws, when all is closed.
   */
  close(): void {
    this.#running = false
    this.#isClosing = true
    try {
      this.#bridge.close()
    } finally {
      this.#isClosing = false
    }
  }

  /** {@link close}, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close()
  }

  /** What servers and connections go to. @internal */
  [kBridge](): Bridge<Timeout, Message> {
    this.#checkOpen()
    return this.#bridge
  }

  #checkOpen(): void {
    if (this.#bridge.closed) throw closed('event loop')
  }

  /** What `run`, `runOnce` and `runSync` ask for. */
  #checkRunnable(handler: Handler<Timeout, Message>): void {
    checkHandler(handler, CALLBACKS)
    this.#checkOpen()
    if (this.#bridge.isActive()) throw new LoopError('ERR_MIOLO_RUNNING')
  }

  /** Whether a `shutdown()` came before this run, which ends it and is used up. Otherwise the loop runs from here. */
  #takeShutdown(): boolean {
    const over = this.#shutdown
    this.#shutdown = false
    this.#running = !over
    return over
  }

  #registration(token: Token, interest: EventSet, opt: PollOpt): [Token, EventSet, PollOpt] {
    this.#checkOpen()
    return [
      integer(token, 'token', 0, Number.MAX_SAFE_INTEGER),
      EventSet.check(interest, 'interest'),
      PollOpt.check(opt, 'opt'),
    ]
  }
}

/** What a server, or a connection, of a loop goes to; throws if that is none, or closed. @internal */
export function bridgeOf(loop: unknown): Bridge<never, never> {
  if (!(loop instanceof EventLoop)) throw invalidType('loop', 'an EventLoop', loop)
  return loop[kBridge]() as Bridge<never, never>
}
