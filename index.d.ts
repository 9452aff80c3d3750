// The public API of miolo on one page. Generated from ts/ by `npm run api`: change it there.

import { Duplex } from 'node:stream'

/** What an event loop can be told when it is made. mio: `EventLoopConfig`. */
export interface EventLoopConfig {
  /** The most messages that may wait for `notify`, exactly: 1 to 2^24. Default 4096. */
  notifyCapacity?: number
  /** The most messages delivered in one iteration: 1 to 2^24. Default 256. */
  messagesPerTick?: number
  /**
   * Milliseconds that deadlines are rounded up to, 1 to 60 000, and at the default of 1 to half a millisecond; never
   * early. Default 1.
   */
  timerTickMs?: number
  /** The most timeouts that may be set at once: 1 to 2^24. Default 65 536. */
  timerCapacity?: number
  /** The most events that may wait for the JS thread, 16 to 2^20, rounded up to a power of two. Default 8192. */
  eventCapacity?: number
  /**
   * Who turns the loop. `auto`: the JS thread, out of Node's own loop, without a hand-over between threads; and when it is
   * busy with something else for a few milliseconds, a native thread, until calm returns. `thread`: a native thread,
   * always; the JS thread spends the least then. `embedded`: the JS thread, always; there is no other. Where Node's loop
   * cannot be watched (Windows, Bun, Deno) it is `thread` all the same. Default `auto`.
   */
  driver?: 'auto' | 'thread' | 'embedded'
  /**
   * Microseconds to look again before sleeping, 0 to 1 000 000: latency for CPU time, for those who have a core to
   * spare. Default 0.
   */
  spinUs?: number
}

/** A message that a Sender could not hand over. mio: `NotifyError`. */
export declare class NotifyError<Message = unknown> extends Error {
  /** Full: the channel holds as many messages as it may. Closed: the loop is gone. */
  readonly code: 'ERR_MIOLO_NOTIFY_FULL' | 'ERR_MIOLO_NOTIFY_CLOSED'
  /** The message, back. */
  readonly rejected: Message
}

/** No room for another timeout. mio: `TimerError`. */
export declare class TimerError extends Error {
  /** As many timeouts are set as `timerCapacity` allows. */
  readonly code = 'ERR_MIOLO_TIMER_OVERFLOW'
}

/** What a {@link LoopError} can be about. */
export type LoopErrorCode = keyof typeof LOOP_ERRORS

declare const LOOP_ERRORS: {
  /** The event loop, socket or server has been closed; the message says which. */
  readonly ERR_MIOLO_CLOSED: 'Closed'
  /** The loop runs, so it cannot be run. */
  readonly ERR_MIOLO_RUNNING: 'The event loop is running already'
  /** A socket belongs to another event loop, and can belong to one only. */
  readonly ERR_MIOLO_REGISTERED_ELSEWHERE: 'The socket is already registered with another event loop'
  /** More sockets than one event loop can hold. */
  readonly ERR_MIOLO_TOO_MANY_REGISTRATIONS: 'The event loop holds as many sockets as it can'
  /** More Senders in other threads than one event loop can hold. */
  readonly ERR_MIOLO_TOO_MANY_SENDERS: 'As many Senders in other threads are in use as an event loop can hold'
  /** A message from another thread was cloned there, and cannot be read here. It is dropped; the loop can be run again. */
  readonly ERR_MIOLO_UNREADABLE_MESSAGE: 'A message from another thread cannot be read'
  /** A callback returned a promise to `runSync`, which never gives it a turn. */
  readonly ERR_MIOLO_ASYNC_IN_RUN_SYNC: 'A callback returned a promise, which runSync cannot wait for'
  /** A server with `loops` on it was to be served by `runSync`, which gives its other loops no turn. */
  readonly ERR_MIOLO_LOOPS_IN_RUN_SYNC: 'A server of several loops needs run, as runSync serves one loop alone'
  /** The loop thread has panicked, or its memory was overwritten. The loop can only be closed. */
  readonly ERR_MIOLO_FAILED: 'The event loop has failed'
}

/**
 * The event loop, or a socket, cannot do what was asked in the state it is in. These are the errors that miolo makes:
 *
 * | class | code | when |
 * |---|---|---|
 * | `TypeError` | `ERR_INVALID_ARG_TYPE` | an argument has the wrong type |
 * | `TypeError` | `ERR_INVALID_ARG_VALUE` | an argument has the right type and no meaning |
 * | `RangeError` | `ERR_OUT_OF_RANGE` | a number is too small, too large or not a number |
 * | {@link NotifyError} | `ERR_MIOLO_NOTIFY_FULL`, `ERR_MIOLO_NOTIFY_CLOSED` | a message was not taken |
 * | {@link TimerError} | `ERR_MIOLO_TIMER_OVERFLOW` | there are as many timeouts as the capacity allows |
 * | {@link LoopError} | `ERR_MIOLO_…` | the loop cannot do that now |
 * | `Error` | `ECONNREFUSED`, `EEXIST`, … | the system refused, as Node tells it: `errno`, `syscall`, `address`, `port` |
 */
export declare class LoopError extends Error {
  /** What is in the way. */
  readonly code: LoopErrorCode
}

/**
 * A set of readiness: what to wait for, and what has come. mio: `EventSet`.
 *
 * There are sixteen, made once: `===` compares them, and none is allocated when an event is delivered.
 */
export declare class EventSet {
  #private
  /** readable 1, writable 2, error 4, hup 8; as in mio. */
  readonly bits: number
  private constructor()
  /** Nothing. As an interest: nothing is delivered until `reregister`. */
  static none(): EventSet
  /** Bytes, connections or the peer's end can be read. */
  static readable(): EventSet
  /** Bytes can be written, or a connection has been made. */
  static writable(): EventSet
  /** The socket has an error: `takeError()` has it. Delivered with any interest but an empty one. */
  static error(): EventSet
  /** The peer has ended, or reset, the connection. Delivered with any interest but an empty one. */
  static hup(): EventSet
  /** All four. */
  static all(): EventSet
  /** Whether the set holds readable. */
  isReadable(): boolean
  /** Whether the set holds writable. */
  isWritable(): boolean
  /** Whether the set holds error. */
  isError(): boolean
  /** Whether the set holds hup. */
  isHup(): boolean
  /** Whether the set holds nothing. */
  isNone(): boolean
  /** Whether the set holds all of `other`. */
  contains(other: EventSet): boolean
  /** What is in either set. mio: `|`. */
  union(other: EventSet): EventSet
  /** What is in both sets. mio: `&`. */
  intersection(other: EventSet): EventSet
  /** What is in this set and not in `other`. mio: `-`. */
  difference(other: EventSet): EventSet
  /** `Readable | Hup`, or the empty string; as mio's `Debug`. */
  toString(): string
}

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

/** What an event loop has done so far. Reading it costs no native call. */
export interface LoopMetrics {
  /** Turns of the loop. */
  iterations: number
  /**
   * Events of the loop, by kind; those of sockets are counted before stale ones are dropped and those of one are merged.
   * What happens to the connections of servers is not among them.
   */
  events: {
    /** Registered sockets that a turn of the loop found ready. */
    ready: number
    /** Messages, one each. */
    notify: number
    /** Timeouts that were delivered. */
    timeout: number
    /** Polls that `interrupt()`, or a signal, ended. */
    interrupted: number
  }
  /** Wake-ups across the threads: far fewer than events, when all is well. */
  doorbells: {
    /** Of the JS thread, by the loop and by Senders in other threads. */
    toJs: number
    /** Of whoever turns the loop, out of its poll. */
    toLoop: number
  }
  /** The ring of events, in records. */
  ring: {
    /** How many wait now. */
    depth: number
    /** The most that ever waited. */
    highWater: number
    /** How many fit. */
    capacity: number
  }
  /** Who turns the loop now: the JS thread, or a native one. */
  turner: 'js' | 'thread'
  /** How often the loop went from the one to the other, both ways counted. Only with the driver `auto`. */
  handovers: number
  /**
   * Milliseconds spent in the poll. That includes its sleep where a native thread turns the loop, and in `runSync`;
   * otherwise it is Node that sleeps.
   */
  pollTimeMs: number
  /** Milliseconds that the JS thread spent on delivering events, callbacks included. */
  dispatchTimeMs: number
}

declare const brand: unique symbol

/** What an event loop can watch: a `TcpListener` or a `TcpStream`. mio: `Evented`. */
export interface Evented {
  readonly [brand]: 'Evented'
}

/**
 * How readiness is told: once per change (edge), again in every iteration for as long as it lasts (level), or once and
 * then not until `reregister` (oneshot). Level prevails over edge; without edge or oneshot it is level.
 * mio: `PollOpt`.
 *
 * There are eight, made once: `===` compares them.
 */
export declare class PollOpt {
  #private
  /** edge 0x20, level 0x40, oneshot 0x80; as in mio. */
  readonly bits: number
  private constructor()
  /** No option, which is level. */
  static empty(): PollOpt
  /**
   * Told when readiness comes: read until `null` or 0, and write until `null`. A short read will do only where `events`
   * had no hang-up, which is not told again.
   */
  static edge(): PollOpt
  /** Told in every iteration for as long as readiness lasts. */
  static level(): PollOpt
  /** Told once, and again after the next `reregister`. */
  static oneshot(): PollOpt
  /** All three: oneshot. */
  static all(): PollOpt
  /** Whether the options hold edge. */
  isEdge(): boolean
  /** Whether the options hold level. */
  isLevel(): boolean
  /** Whether the options hold oneshot. */
  isOneshot(): boolean
  /** Whether the options hold all of `other`. */
  contains(other: PollOpt): boolean
  /** What is in either. mio: `|`. */
  union(other: PollOpt): PollOpt
  /** What is in both. mio: `&`. */
  intersection(other: PollOpt): PollOpt
  /** What is in these options and not in `other`. mio: `-`. */
  difference(other: PollOpt): PollOpt
  /** `Edge-Triggered | OneShot`, or the empty string; as mio's `Debug`. */
  toString(): string
}

/**
 * A Sender on its way to another thread: pass it in `workerData` or by `postMessage`, and make it a Sender again with
 * {@link Sender.from}. Up to 64 Senders made so can be in use at once for one event loop.
 */
export interface SharedSender {
  readonly [brand]: 'SharedSender'
}

/** Sends messages to an event loop, from its own thread or from others. mio: `Sender`. */
export declare class Sender<Message = unknown> {
  #private
  private constructor()
  /**
   * Hands `message` to the loop's `notify`, soon; never blocks. Messages of one Sender arrive in the order sent, none
   * is lost or doubled, and those sent while the loop does not run wait for it. mio: `Sender::send`.
   *
   * In the loop's own thread any value is passed, by reference. From other threads a structured clone of it is;
   * numbers, strings and `Uint8Array`s are the fastest. Whatever `v8.serialize` can take may be sent, so no
   * `SharedArrayBuffer`, nothing of Node's own classes, and nothing that would have to be transferred. What is taken here
   * and cannot be read by the loop, such as a `WebAssembly.Module` or what is nested too deep for its stack, is dropped
   * there: `run` rejects with `ERR_MIOLO_UNREADABLE_MESSAGE`.
   *
   * @throws {@link NotifyError} Full: `notifyCapacity` messages wait; there is room when `notify` has been called,
   * which another thread cannot see: it tries again. Closed: the loop is gone. Either has the message in `rejected`.
   * `DataCloneError`: it cannot be cloned.
   */
  send(message: Message): void
  /**
   * What another thread needs to send to the same loop. The first call reserves 32 MiB of address space for the loop, of
   * which only what messages come to lie in takes memory.
   *
   * @throws {@link LoopError} `ERR_MIOLO_CLOSED`. Not by a Sender that was made by {@link from}: there `from` tells.
   */
  share(): SharedSender
  /**
   * The Sender that was shared. It sends to the loop of {@link EventLoop.channel}, wherever that runs.
   *
   * @throws `TypeError` if `shared` is not what {@link share} returned; {@link LoopError} `ERR_MIOLO_CLOSED` if the
   * loop is gone, `ERR_MIOLO_TOO_MANY_SENDERS` if 64 are in use.
   */
  static from<M = unknown>(shared: SharedSender): Sender<M>
}

/**
 * A timeout that was set, for `clearTimeout` of the loop that it was set on. There it names this timeout alone: once it
 * has been delivered or cleared, the handle is good for nothing and harms nothing. mio: `Timeout`.
 */
export type TimeoutHandle = number & {
  readonly [brand]: 'TimeoutHandle'
}

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
export declare class EventLoop<Timeout = unknown, Message = unknown> implements Disposable {
  #private
  /**
   * Makes a loop that stands still; its thread, where its driver has one, starts with the first `run`.
   *
   * @throws `TypeError` or `RangeError` for a configuration that makes no sense; the system's error, such as `EMFILE`, if
   * it refuses.
   */
  constructor(config?: EventLoopConfig)
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
  run(handler: Handler<Timeout, Message>): Promise<void>
  /**
   * One iteration: waits for something to happen, for `timeoutMs` milliseconds at most (without end if left out),
   * and delivers it. Neither heeds nor clears a `shutdown()`. mio: `EventLoop::run_once`.
   *
   * @returns a promise that resolves when the iteration is over; it rejects with what a callback has thrown.
   * @throws as {@link run}, and `ERR_OUT_OF_RANGE` for a time below 0 or above 2^31 − 1.
   */
  runOnce(handler: Handler<Timeout, Message>, timeoutMs?: number): Promise<void>
  /**
   * Runs as {@link run} does, but on this thread alone, which sleeps in the loop's own poll: the shortest way from an
   * event to a callback. Node's own loop stands still meanwhile: no promise, timer or stream of Node's goes on, and no
   * signal comes to `process.on`: one that is listened to there calls `interrupted`. For workers and command-line
   * programs.
   *
   * @throws what a callback has thrown; `ERR_MIOLO_ASYNC_IN_RUN_SYNC` if one returns a promise;
   * `ERR_MIOLO_LOOPS_IN_RUN_SYNC` where a server has `loops`; as {@link run}.
   */
  runSync(handler: Handler<Timeout, Message>): void
  /**
   * Asks the loop to stop: what is left of the batch in progress is still delivered, its `tick` included; then `run`
   * returns. Before `run`, it makes the next `run` return at once. mio: `EventLoop::shutdown`.
   */
  shutdown(): void
  /**
   * True from creation until `shutdown`, and again once the loop is run; false after a `run` that returned at once.
   * mio: `EventLoop::is_running`.
   */
  isRunning(): boolean
  /** A Sender of messages to this loop. Any number of them may be used at once. mio: `EventLoop::channel`. */
  channel(): Sender<Message>
  /**
   * Has `timeout` delivered once, `delayMs` milliseconds from now at the earliest. mio: `EventLoop::timeout_ms`.
   *
   * @param timeout any value; it is passed by reference.
   * @param delayMs 0 to 2^53, fractions allowed.
   * @throws {@link TimerError} when `timerCapacity` timeouts are set; `ERR_OUT_OF_RANGE`.
   */
  timeoutMs(timeout: Timeout, delayMs: number): TimeoutHandle
  /**
   * Takes a timeout back. mio: `EventLoop::clear_timeout`.
   *
   * @param handle of this loop's `timeoutMs`.
   * @returns true if it will not be delivered, also where it is due already; false if it was delivered or cleared.
   * @throws `TypeError` for what is no number; a number that is no handle is false.
   */
  clearTimeout(handle: TimeoutHandle): boolean
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
  register(source: Evented, token: Token, interest: EventSet, opt: PollOpt): void
  /**
   * Changes what a watched socket is watched for, and under which token. What was held back is dropped; if the socket
   * is still ready, that is told again. mio: `EventLoop::reregister`.
   *
   * @throws `ENOENT` if no loop watches it, `ERR_MIOLO_REGISTERED_ELSEWHERE` if another does.
   */
  reregister(source: Evented, token: Token, interest: EventSet, opt: PollOpt): void
  /**
   * Has the loop look away: once this returns, nothing of the socket is delivered, not even what was on its way.
   * mio: `EventLoop::deregister`.
   *
   * @throws as {@link reregister}.
   */
  deregister(source: Evented): void
  /** Ends the poll as a signal would: `interrupted` is called, once for all calls since the last time. */
  interrupt(): void
  /** What the loop has done so far. No native call is made for it. */
  metrics(): LoopMetrics
  /** A running loop keeps the process alive; so it is from the beginning. */
  ref(): this
  /**
   * A running loop does not keep the process alive. Where nothing else does, the loop is closed as the process exits, and
   * what is behind an `await` of its `run` comes too late for anything but what is synchronous.
   */
  unref(): this
  /** Whether a running loop keeps the process alive. */
  hasRef(): boolean
  /**
   * Ends the loop for good, and its thread: sockets are deregistered, timeouts and messages dropped, Senders get
   * Closed. Connections are told, by `close` with `shutdown`, and a pending `connect` rejects. A `run` in progress
   * resolves. Closing twice is fine. mio: dropping the `EventLoop`.
   *
   * @throws what a connection's `close` throws, when all is closed.
   */
  close(): void
  /** {@link close}, at the end of a `using` block. */
  [Symbol.dispose](): void
}

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
  | {
      host: string
      port: number
    }
  | Pick<SocketAddress, 'address' | 'port'>

/**
 * A TCP connection whose calls never block. mio: `tcp::TcpStream`.
 *
 * Once it is closed every method but `close` throws {@link LoopError} `ERR_MIOLO_CLOSED`. What the system refuses is
 * thrown as an `Error` with its code, such as `ENOTCONN`; arguments that make no sense as `TypeError` or `RangeError`.
 */
export declare class TcpStream implements Evented {
  readonly [brand]: 'Evented'
  private constructor()
  /**
   * Starts to connect. Once it is `writable` it has connected, or failed: {@link takeError} tells.
   * mio: `TcpStream::connect`.
   *
   * @throws an `Error` as of `node:net` where the system refuses at once; `TypeError` for what is no address.
   */
  static connect(address: AddressLike): TcpStream
  /**
   * Reads what has come, as far as it fits. mio: `TcpStream::try_read`.
   *
   * @param into not empty. With edge-triggered readiness: read until null or 0. A short read will do only where
   * `events` had no hang-up: the end may have come along with the bytes, and is not told again.
   * @returns how many bytes; null: none have come; 0: the peer has ended its side.
   * @throws an `Error` with the system's code, such as `ECONNRESET`; `ERR_MIOLO_CLOSED`.
   */
  read(into: Uint8Array): number | null
  /**
   * Writes as much as the system takes. mio: `TcpStream::try_write`.
   *
   * @returns how many bytes, possibly fewer than there are; null: none, `ready` with `writable` will tell when.
   * @throws an `Error` with the system's code, such as `EPIPE` or `ECONNRESET`; `ERR_MIOLO_CLOSED`.
   */
  write(from: Uint8Array): number | null
  /** Ends a side of the connection, or both; what was written is still sent. mio: `TcpStream::shutdown`. */
  shutdown(how: 'read' | 'write' | 'both'): void
  /** The address of the other end. mio: `TcpStream::peer_addr`. @throws `ENOTCONN` before it has connected. */
  peerAddress(): SocketAddress
  /** The address of this end. mio: `TcpStream::local_addr`. */
  localAddress(): SocketAddress
  /** Sends small writes at once instead of gathering them (Nagle's algorithm). mio: `TcpStream::set_nodelay`. */
  setNodelay(on: boolean): void
  /** Probes the peer after so many seconds of silence, 1 to 32 767; null: never. mio: `TcpStream::set_keepalive`. */
  setKeepalive(seconds: number | null): void
  /**
   * How long the system goes on sending after a close, in seconds, 0 to 65 535. 0 resets the connection instead;
   * null: as long as the system likes, in the background.
   */
  setLinger(seconds: number | null): void
  /** Takes the socket's pending error, such as a refused connection. mio: `TcpStream::take_socket_error`. */
  takeError(): Error | null
  /** Closes the connection, which deregisters it. Closing twice is fine. */
  close(): void
  /** {@link close}, at the end of a `using` block. */
  [Symbol.dispose](): void
}

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
export declare class TcpListener implements Evented {
  readonly [brand]: 'Evented'
  private constructor()
  /**
   * Listens on an address, such as `127.0.0.1:0` for any free port. The address can be used again right after a
   * listener on it is gone (`SO_REUSEADDR`). mio: `TcpListener::bind`.
   *
   * @throws an `Error` as of `node:net`: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`; `TypeError` for what is no address;
   * `TypeError` or `RangeError` for options that make no sense.
   */
  static bind(address: AddressLike, options?: ListenOptions): TcpListener
  /**
   * The next waiting connection, or null if there is none now. mio: `TcpListener::accept`.
   *
   * @throws an `Error` with the system's code, `EMFILE` and `ECONNABORTED` among them; the listener is unharmed.
   */
  accept(): {
    stream: TcpStream
    peer: SocketAddress
  } | null
  /** The address that it listens on, with the port that the system chose. mio: `TcpListener::local_addr`. */
  localAddress(): SocketAddress
  /** Takes the socket's pending error, if it has one. mio: `TcpListener::take_socket_error`. */
  takeError(): Error | null
  /** Closes the socket, which deregisters it. Connections that wait are reset. Closing twice is fine. */
  close(): void
  /** {@link close}, at the end of a `using` block. */
  [Symbol.dispose](): void
}

/** A TCP connection. It is read, written, framed and timed out by whoever turns the loop; here is its end in JavaScript. */
export declare class Connection<State = unknown> {
  #private
  /** For the user: whatever belongs to the connection. Undefined until it is set. */
  state: State
  private constructor()
  /**
   * Has bytes sent. What is written in one batch leaves in one system call, at its end; what the system does not take
   * waits, natively, and goes on while JavaScript does something else. In a long batch the clock is looked at after each
   * 16 callbacks, and what was written is sent if a millisecond has passed. Where a callback goes on computing, the
   * drivers `thread` and `auto` send it some 10 ms later.
   *
   * @param data a string, as UTF-8, or bytes, which are copied.
   * @returns false if more than `highWaterMark` bytes wait, and from then on until {@link ConnectionHandler.drain} has told
   * that few enough do. Also false on a connection that has ended, or was ended from this side: then nothing is written.
   * Where more than `maxWriteBuffer` bytes would wait, the connection is closed: `overflow`. And false on one whose loop
   * does not run: then it is sent when that runs.
   * @throws `TypeError` for what is neither a string nor a Uint8Array.
   */
  write(data: string | Uint8Array): boolean
  /**
   * Ends this side, when all that was written has been sent. The connection ends when the peer's side has, too.
   *
   * @param data is written before.
   */
  end(data?: string | Uint8Array): void
  /** Cuts the connection off: the peer sees a reset; what was not sent is lost. `close` comes with `aborted`. */
  abort(): void
  /**
   * Neither `data` nor `end` comes until {@link resume}. Nothing more is read, so that the peer comes to feel it; what has
   * been read already is kept, and comes then. Should the connection end meanwhile, that comes before its `close`.
   * Silence counts as idle.
   */
  pause(): void
  /** Reads again. */
  resume(): void
  /**
   * Calls `write`, and has what it writes leave together, as far as the system takes it: in one system call. Otherwise
   * that is so for what a callback writes within some milliseconds.
   *
   * @returns what it returns. Where that is a promise, what is written after its first `await` is not held together.
   * @throws `TypeError` for what is no function.
   */
  cork<T>(write: () => T): T
  /**
   * Has what was written sent now, on all connections of the loop, rather than when the batch is over: for a callback
   * that goes on computing.
   */
  flush(): void
  /**
   * The stream of this connection, which takes it over: from now on its handler is not called, but for `close`. To be
   * called while nothing has been missed, as in `open`.
   *
   * It is a Duplex that behaves as a `net.Socket` does in `pipeline()`: `end()` ends this side, and so does the peer's
   * end, unless `allowHalfOpen` is set; `destroy()` closes the connection, and what the system has not taken by then is
   * lost. What the peer or the system does to the connection is an `error`, with the code that `node:net` has for it.
   * {@link abort}, and the end of the server or the loop, destroy it without one. What else a `net.Socket` has, it lacks.
   */
  toStream(): Duplex
  /** How many bytes wait to be sent. */
  get bufferedAmount(): number
  /** The peer's address. */
  get remoteAddress(): SocketAddress | undefined
  /** The address on this side; undefined if it is asked for only when the connection has ended. */
  get localAddress(): SocketAddress | undefined
}

/**
 * Why a connection has ended.
 *
 * | reason | |
 * |---|---|
 * | `end` | both sides have ended it, in order |
 * | `reset` | the peer has reset it |
 * | `aborted` | {@link Connection.abort}, or its stream was destroyed |
 * | `idle` | nothing came and nothing could be sent for `idleTimeoutMs` |
 * | `lifetime` | it has lasted for `lifetimeMs` |
 * | `overflow` | more than `maxWriteBuffer` bytes waited to be sent |
 * | `frame-too-long` | a frame was longer than its maximum, or had an impossible length |
 * | `over-limit` | refused because of the limits; `close` never has it, as such a connection is never open (see {@link TcpServer.refused}) |
 * | `shutdown` | it had not ended by the deadline of {@link TcpServer.close}, or the loop was closed |
 * | `error` | a callback has thrown, or the system has refused something; the error comes with it |
 */
export type CloseReason =
  | 'end'
  | 'reset'
  | 'aborted'
  | 'idle'
  | 'lifetime'
  | 'overflow'
  | 'frame-too-long'
  | 'over-limit'
  | 'shutdown'
  | 'error'

/**
 * What happens to connections. Every callback may be left out. For each connection there is one `open`, then what
 * comes, then one `close`.
 *
 * A callback that throws, or returns a promise that rejects, stops the loop, as any callback does: so what a peer can bring
 * about, such as the failure of a pipeline, is to be caught and not returned. One that throws also
 * closes its connection, with the reason `error`: `close` is called at once.
 */
export interface ConnectionHandler<State = unknown> {
  /** The connection is there. */
  open?(conn: Connection<State>): void
  /**
   * Bytes have come: a whole frame, where there is framing. `chunk` is the receiver's own; with the option `borrow` it
   * is valid during the callback only.
   */
  data?(conn: Connection<State>, chunk: Buffer): void
  /**
   * The peer will send no more. Unless `allowHalfOpen` is set, this side ends when the callback has returned; what was
   * written by then is sent before.
   */
  end?(conn: Connection<State>): void
  /**
   * After a `write` that was false: few enough bytes wait to be sent for more to be written. On a connection that was
   * ended from this side meanwhile: all has been sent.
   */
  drain?(conn: Connection<State>): void
  /** The connection has ended; nothing more of it comes. `error` is there where the reason is `error`. */
  close?(conn: Connection<State>, reason: CloseReason, error?: Error): void
}

/** The callbacks of a server. */
export interface ServerHandler<State = unknown> extends ConnectionHandler<State> {
  /**
   * A connection could not be accepted: `EMFILE`, `ENOBUFS`, `ECONNABORTED` and the like. The server tries again by
   * itself; that it still cannot is not told again. Without this callback such errors are dropped.
   */
  error?(error: Error): void
}

/**
 * How the bytes of a connection are cut into frames. With any but `raw`, `data` gets whole frames, one each, however
 * the bytes come in. What is left of a frame when the peer ends is dropped.
 *
 * - `'raw'`: bytes as they come.
 * - `'lines'`: what ends with `\n` or `\r\n`, without it; at most 65 536 bytes.
 * - a {@link DelimiterFraming} or a {@link LengthFraming}.
 */
export type Framing = 'raw' | 'lines' | DelimiterFraming | LengthFraming

/** Frames that end with certain bytes, which are not in them. */
export interface DelimiterFraming {
  /** What a frame ends with; not empty. `'\n'` takes a `\r` before it along. */
  delimiter: string | Uint8Array
  /** The most bytes of a frame, its delimiter not counted, 1 to 2^30; with more, the connection is closed. Default 65 536. */
  maxLength?: number
}

/** Frames that say how long they are. */
export interface LengthFraming {
  /** How many bytes the length has. */
  length: 1 | 2 | 4
  /** Which of them comes first. Default `big`. */
  endian?: 'big' | 'little'
  /** How many bytes of the frame come before the length, 0 to 65 535. Default 0. */
  offset?: number
  /** Whether the length counts the whole frame, or only what follows the length. Default false. */
  inclusive?: boolean
  /** Whether `data` gets what follows the length only, or the whole frame. Default true where `offset` is 0. */
  strip?: boolean
  /**
   * The most bytes of a whole frame, what comes before the length and the length itself among them, which have to fit, up to
   * 2^30; with more, the connection is closed. Default 1 048 576.
   */
  maxLength?: number
}

/** How a connection behaves. */
export interface ConnectionOptions {
  /** How what comes is cut into what `data` gets. Default `raw`: as it comes. */
  framing?: Framing
  /**
   * Bytes that wait to be sent, above which `write` returns false: 0 to 2^30, and below `maxWriteBuffer`. Default 65 536,
   * or half of `maxWriteBuffer` if that is less.
   */
  highWaterMark?: number
  /** Bytes at or below which `drain` comes after that: 0 to `highWaterMark`. Default a quarter of it. */
  lowWaterMark?: number
  /** Bytes that may wait to be sent, 1 to 2^31 − 1; with more the connection is closed: `overflow`. Default 2^24. */
  maxWriteBuffer?: number
  /** Milliseconds in which nothing came and nothing could be sent, after which it is closed, up to 2^53; 0: never. Default 0. */
  idleTimeoutMs?: number
  /** Milliseconds after which it is closed in any case, up to 2^53; 0: never. Default 0. */
  lifetimeMs?: number
  /** Whether this side stays open when the peer has ended its own, as in `node:net`. Default false. */
  allowHalfOpen?: boolean
  /** Sends small writes at once. What is written in one batch leaves together anyway. Default true. */
  noDelay?: boolean
  /** Probes a silent peer after so many seconds, 0 to 32 767; 0: never. Default 0. */
  keepAlive?: number
  /**
   * Whether `data` gets a view of shared memory that is valid during the callback only, rather than a copy. `checked`
   * overwrites it afterwards, so that whoever keeps one finds out. Default false.
   */
  borrow?: boolean | 'checked'
}

/** How a server behaves. */
export interface ServerOptions extends ConnectionOptions, ListenOptions {
  /**
   * The most connections at a time; what comes beyond is closed at once, without `open` and `close`, and counted in
   * {@link TcpServer.refused}. 1 to 2^18. Default 65 536.
   */
  maxConnections?: number
  /** The most connections at a time from one address, 1 to 2^32 − 1. Default: no limit but the other. */
  maxConnectionsPerAddress?: number
  /**
   * How many loops serve the connections, 1 to 64: the one that the server was given, and others with a thread each. All
   * of them feed this one JS thread. The first accepts, and they get the connections in turn. The limits are those of all
   * together. The others run while the first is in `run`, with the driver `thread` and the defaults for all else. Default 1.
   */
  loops?: number
}

/** What `connect` can be told beyond how the connection behaves. */
export interface ConnectOptions extends ConnectionOptions {
  /**
   * Milliseconds after which an attempt to connect is given up with `ETIMEDOUT`, up to 2^53; 0: the system's patience.
   * Default 0.
   */
  connectTimeoutMs?: number
}

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
export declare function connect<State = unknown>(
  loop: EventLoop<never, never>,
  address: AddressLike,
  handler?: ConnectionHandler<State>,
  options?: ConnectOptions,
): Promise<Connection<State>>

/** How {@link TcpServer.close} goes about it. */
export interface CloseOptions {
  /** Milliseconds after which connections that have not ended are cut. Default: they may take as long as they like. */
  deadlineMs?: number
}

/** How many connections have ended for which reason. */
export type ClosedConnections = Partial<Record<CloseReason, number>>

/**
 * A TCP server: connections are accepted, read, written, framed, timed out and limited by whoever turns the loop, also
 * while the JS thread is busy; here are the callbacks.
 *
 * ```ts
 * const loop = new EventLoop()
 * const server = new TcpServer(loop, { data: (conn, chunk) => void conn.write(chunk) })
 * console.log(server.listen('127.0.0.1:7000'))
 * await loop.run({})
 * ```
 */
export declare class TcpServer<State = unknown> implements AsyncDisposable {
  #private
  /**
   * Makes a server that does not listen yet.
   *
   * @param loop serves it while it runs.
   * @throws `TypeError` or `RangeError` for arguments that make no sense; `ERR_MIOLO_CLOSED`; with `loops`, in a callback
   * of `runSync`, `ERR_MIOLO_LOOPS_IN_RUN_SYNC`.
   */
  constructor(loop: EventLoop<never, never>, handler: ServerHandler<State>, options?: ServerOptions)
  /**
   * Listens at an address, such as `127.0.0.1:0` for any free port; may be called again, for another one. Connections
   * are accepted while the loop runs.
   *
   * @returns the address, with the port that the system chose.
   * @throws an `Error` as of `node:net`: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`; `TypeError` for what is no address;
   * `ERR_MIOLO_CLOSED`.
   */
  listen(address: AddressLike): SocketAddress
  /** The connections that are open. */
  get connections(): Iterable<Connection<State>> & {
    readonly size: number
  }
  /**
   * How many connections were refused because of the limits: each was closed at once, and never open. It can be asked for
   * when the server, or its loop, is closed, too.
   */
  get refused(): number
  /**
   * Accepts no more, and ends every connection once what was written to it, or to its stream, has been sent. Those that
   * have not ended by the deadline, since their peers have not, are cut: `shutdown`.
   *
   * @returns a promise that resolves when no connection is left, to how many have ended for which reason since. The
   * loop has to run until then, or to be closed. Another call returns the same promise; it may set another deadline.
   * @throws `TypeError` or `RangeError` for a deadline that is none.
   */
  close(options?: CloseOptions): Promise<ClosedConnections>
  /**
   * {@link close} without a deadline, at the end of an `await using` block. The loop has to run until no connection is
   * left, or to be closed: who leaves the block otherwise waits for ever.
   */
  [Symbol.asyncDispose](): Promise<void>
}

export {}
