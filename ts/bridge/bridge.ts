/**
 * One loop, as JavaScript holds it: its memory, its tables, and the pump that hands what has happened to the Handler.
 *
 * ```text
 *   doorbell, libuv or setImmediate → pump: deliver … → flush → park
 *                                            ▲            │
 *                                            └── again ◄──┘ while there is something
 * ```
 */

import { performance } from 'node:perf_hooks'

import type { EventLoopConfig } from '../config.ts'
import { callEach, corrupt, LoopError, systemError, TimerError } from '../errors.ts'
import type { EventLoop } from '../event-loop.ts'
import type { EventSet } from '../event-set.ts'
import type { Handler, Token } from '../handler.ts'
import type { LoopMetrics } from '../metrics.ts'
import type { Registrable } from '../net/evented.ts'
import type { PollOpt } from '../poll-opt.ts'
import type { TimeoutHandle } from '../timeout-handle.ts'
import { native, type NativeLoop } from './binding.ts'
import { Clock } from './clock.ts'
import { Commands } from './commands.ts'
import { Connections } from './connections.ts'
import { Delivery } from './delivery.ts'
import { Events } from './events.ts'
import { LaneReceiver } from './lane.ts'
import * as at from './layout.ts'
import { LoopMemory, REGISTRATIONS } from './memory.ts'
import { MessageQueue } from './message-queue.ts'
import { QueueEntrance, QueueExit } from './queue.ts'
import { Registrations } from './registrations.ts'
import { Timers } from './timers.ts'

/** Milliseconds after which the pump lets Node's own loop have a turn. */
const TURN_MS = 8

/** Native's numbers. */
const DRIVERS = {
  thread: native.DRIVER_THREAD,
  embedded: native.DRIVER_EMBEDDED,
  auto: native.DRIVER_AUTO,
}

/** A `run` or `runOnce` in progress. */
interface Run<Timeout, Message> {
  handler: Handler<Timeout, Message>
  /** False once it is to end with the batch in progress. */
  goesOn: () => boolean
  /** It ends with the first batch. */
  isOnce: boolean
  /** It is to look for events right away, and not to wait. */
  polls: boolean
  /** It has waited as long as it may, and ends when it has looked once more. */
  isLate?: boolean
  limit?: NodeJS.Timeout
  resolve: () => void
  reject: (error: unknown) => void
  /** What it has failed with, if it has. */
  failure?: [error: unknown]
  /** Its promise has been settled. */
  isSettled: boolean
}

/** The loops whose `run` is in progress. They stay alive, and are stopped before the process goes. */
const active = new Set<Bridge<never, never>>()
let stopsAtExit = false

function closeAll(): void {
  for (const bridge of active) bridge.close()
}

/** The key under which an event loop shows its bridge. */
export const kBridge: unique symbol = Symbol('miolo.bridge')

export class Bridge<Timeout, Message> {
  closed = false
  hasRef = true
  readonly #memory: LoopMemory
  readonly #words: Int32Array
  readonly #config: Required<EventLoopConfig>
  readonly #native: NativeLoop
  readonly #events: Events
  readonly #commands: Commands
  readonly #clock: Clock
  readonly #timers: Timers<Timeout>
  readonly #registrations = new Registrations(REGISTRATIONS)
  readonly #entrance: QueueEntrance
  readonly #local = new MessageQueue<Message>()
  readonly #lanes: LaneReceiver[] = []
  readonly #delivery: Delivery<Timeout, Message>
  /** What native code calls. It must not keep the loop from being collected. */
  readonly #pumpFromOutside: () => void
  #lanesMemory: Int32Array | undefined
  #connections: Connections | undefined
  /** Loops that run whenever this one does, and the end of their last run. */
  readonly #followers = new Map<EventLoop, Promise<void>>()
  #run: Run<Timeout, Message> | undefined
  /** `runSync` is in progress, so Node's loop has no turn. */
  isSync = false
  #isPumping = false
  #immediate: NodeJS.Immediate | undefined
  /** Messages sent here, and how many of them the native side knows of. */
  #sent = 0
  #sentKnown = 0
  #dispatchMs = 0

  constructor(loop: EventLoop<Timeout, Message>, config: Required<EventLoopConfig>) {
    this.#config = config
    this.#memory = new LoopMemory(config.eventCapacity)
    this.#words = this.#memory.words
    // Bun and Deno have no libuv to embed in, and asking Bun for it ends the process.
    const canEmbed = !('bun' in process.versions || 'deno' in process.versions)
    const { eventRecords, commandRecords, registrations } = this.#memory.layout
    const opened = native.loopOpen(
      {
        eventRecords,
        commandRecords,
        registrations,
        notifyCapacity: config.notifyCapacity,
        messagesPerTick: config.messagesPerTick,
        timerTickMs: config.timerTickMs,
        spinUs: config.spinUs,
        driver: DRIVERS[canEmbed ? config.driver : 'thread'],
      },
      this.#words,
    )
    if (typeof opened === 'number') throw systemError(opened, 'epoll_create')
    this.#native = opened
    this.#events = new Events(this.#memory)
    this.#commands = new Commands(this.#memory, () => this.#flush())
    this.#entrance = new QueueEntrance(this.#words, config.notifyCapacity)
    this.#timers = new Timers(config.timerCapacity, config.timerTickMs)
    this.#clock = new Clock(() => native.loopNow(opened))
    this.#delivery = new Delivery({
      loop,
      events: this.#events,
      exit: new QueueExit(this.#words),
      commands: this.#commands,
      timers: this.#timers,
      clock: this.#clock,
      registrations: this.#registrations,
      local: this.#local,
      lanes: this.#lanes,
      capacity: config.notifyCapacity,
      send: () => this.#send(),
      returned: (value) => this.#returned(value),
    })
    this.#pumpFromOutside = pumpOf(this)
  }

  // Running

  isActive(): boolean {
    return this.#run !== undefined || this.isSync
  }

  /** Whether a `run` or `runSync` is in progress, which a `shutdown` ends. */
  heedsShutdown(): boolean {
    return this.isSync || this.#run?.isOnce === false
  }

  run(handler: Handler<Timeout, Message>, goesOn: () => boolean): Promise<void> {
    return this.#start({ handler, goesOn, isOnce: false, polls: false })
  }

  runOnce(handler: Handler<Timeout, Message>, limitMs: number | undefined): Promise<void> {
    const done = this.#start({ handler, goesOn: () => true, isOnce: true, polls: limitMs === 0 })
    const run = this.#run
    if (run && limitMs !== undefined && limitMs > 0) {
      run.limit = setTimeout(() => {
        // Node may be late itself, and not have looked since: it does before it gets to what is asked for here.
        this.pump()
        run.isLate = true
        this.pumpSoon()
      }, limitMs)
      if (!this.hasRef) run.limit.unref()
    }
    return done
  }

  runSync(handler: Handler<Timeout, Message>, goesOn: () => boolean): void {
    if (this.#followers.size > 0) throw new LoopError('ERR_MIOLO_LOOPS_IN_RUN_SYNC')
    this.#connections?.releaseAll()
    this.isSync = true
    try {
      while (goesOn() || this.#delivery.isMidBatch) {
        const started = performance.now()
        this.#clock.keep(started)
        const outcome = this.#delivery.deliver(handler, Infinity)
        this.#dispatchMs += performance.now() - started
        if (outcome === 'closed') return
        if (outcome !== 'empty') continue
        this.#lookAfterEmpty()
        this.#publish()
        native.loopTurn(this.#native, -1)
      }
    } finally {
      this.isSync = false
      this.#sendLast()
    }
  }

  #start(begun: Omit<Run<Timeout, Message>, 'resolve' | 'reject' | 'isSettled'>): Promise<void> {
    this.#clock.keep(performance.now())
    // A run that only looks needs nobody to turn the loop.
    if (!begun.polls) {
      const result = native.loopRun(this.#native, this.#pumpFromOutside)
      if (result < 0) throw systemError(result, 'run')
      native.loopKeepAlive(this.#native, this.hasRef)
    }
    if (!stopsAtExit) {
      stopsAtExit = true
      process.once('exit', closeAll)
    }
    active.add(this as unknown as Bridge<never, never>)
    return new Promise((resolve, reject) => {
      const run: Run<Timeout, Message> = { ...begun, resolve, reject, isSettled: false }
      this.#run = run
      for (const follower of this.#followers.keys()) this.#runFollower(follower, run)
      this.pumpSoon()
    })
  }

  /** Another loop, which runs whenever this one does; what is thrown there fails the run of this one. */
  addFollower(follower: EventLoop): void {
    this.#followers.set(follower, Promise.resolve())
    if (this.#run !== undefined) this.#runFollower(follower, this.#run)
  }

  removeFollower(follower: EventLoop): void {
    this.#followers.delete(follower)
  }

  #runFollower(follower: EventLoop, run: Run<Timeout, Message>): void {
    const { polls } = run
    const follow = async () => {
      // A run that was over before its turn has no use for it.
      if (this.#run !== run || !this.#followers.has(follower)) return
      await (polls ? follower.runOnce({}, 0) : follower.run({}))
    }
    const last = this.#followers.get(follower) as Promise<void>
    this.#followers.set(
      follower,
      last.then(follow).catch((error) => this.#finish(run, [error])),
    )
  }

  /** Ends a run, with a failure if there is one: of several the first counts. */
  #finish(run: Run<Timeout, Message>, failure?: [error: unknown]): void {
    if (failure !== undefined) run.failure ??= failure
    if (this.#run !== run) return
    this.#run = undefined
    const followers = [...this.#followers.keys()].map((loop) => ({ loop, bridge: loop[kBridge]() }))
    for (const { loop, bridge } of followers) {
      // One that does not heed it would keep it for its next run.
      if (bridge.heedsShutdown()) loop.ref().shutdown()
    }
    active.delete(this as unknown as Bridge<never, never>)
    clearTimeout(run.limit)
    if (this.#immediate) clearImmediate(this.#immediate)
    this.#immediate = undefined
    if (!this.closed) {
      this.#sendLast()
      Atomics.store(this.#words, at.JS_PARKED, 0)
      native.loopKeepAlive(this.#native, false)
      native.loopRest(this.#native)
    }
    // First come failures of promises that its callbacks have returned, and of the followers, which end by themselves.
    void Promise.all(this.#followers.values()).then(() => {
      for (const { bridge } of followers) bridge.keepAlive(false)
      run.isSettled = true
      if (run.failure === undefined) run.resolve()
      else run.reject(run.failure[0])
    })
  }

  /** Has a `run` look soon whether it is to go on, and what there is to do. */
  pumpSoon(): void {
    if (this.#run === undefined || this.#isPumping || this.#immediate) return
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined
      this.pump()
    })
    if (!this.hasRef) unref(this.#immediate)
  }

  /** Delivers what there is, and parks. Called by the doorbell, by libuv, or by Node after {@link TURN_MS}. */
  pump(): void {
    const run = this.#run
    if (run === undefined || this.#isPumping) return
    this.#isPumping = true
    const started = performance.now()
    this.#clock.keep(started)
    try {
      Atomics.store(this.#words, at.JS_PARKED, 0)
      this.#pumpUntilIdle(run, started + TURN_MS)
    } catch (error) {
      this.#finish(run, [error])
    } finally {
      this.#isPumping = false
      this.#dispatchMs += performance.now() - started
    }
  }

  #pumpUntilIdle(run: Run<Timeout, Message>, deadline: number): void {
    let hasSpun = this.#config.spinUs === 0
    // Most often it is for messages that the doorbell has been rung. A run that only looks takes them with what it finds.
    if (!run.polls && Atomics.load(this.#words, at.MAIL) !== 0) this.#flush()
    while (run.goesOn() || this.#delivery.isMidBatch) {
      const outcome = this.#delivery.deliver(run.handler, deadline)
      if (outcome === 'closed') break
      if (outcome === 'yield') {
        this.#isPumping = false
        return this.pumpSoon()
      }
      if (outcome === 'batch') {
        this.#send()
        if (run.isOnce) break
        continue
      }
      this.#lookAfterEmpty()
      if (run.polls) {
        run.polls = false
        run.goesOn = () => false
        this.#publish()
        native.loopTurn(this.#native, 0)
        if (this.#delivery.deliver(run.handler, Infinity) === 'closed') break
      } else if (this.#hasToFlush()) this.#flush()
      else if (run.isLate) {
        // A loop thread that is awake may not have got to it.
        this.#flush()
        this.#delivery.deliver(run.handler, Infinity)
        break
      } else if (!hasSpun) {
        hasSpun = true
        native.loopSpin(this.#native)
      } else if (this.#park()) return
    }
    this.#finish(run)
  }

  /** True if there is nothing to do, and the native side knows that it has to wake us. */
  #park(): boolean {
    Atomics.store(this.#words, at.JS_PARKED, 1)
    if (
      this.#events.isEmpty() &&
      Atomics.load(this.#words, at.MAIL) === 0 &&
      Atomics.load(this.#words, at.FAULT) === 0
    ) {
      return true
    }
    Atomics.store(this.#words, at.JS_PARKED, 0)
    return false
  }

  /** Whether the native side has something to do that nobody else will do. */
  #hasToFlush(): boolean {
    const words = this.#words
    this.#publish()
    if (Atomics.load(words, at.MAIL) !== 0 || Atomics.load(words, at.WANT_ROOM) !== 0) return true
    if (!this.#commands.arePending()) return false
    if (Atomics.load(words, at.TURNER) === at.TURNER_JS) return true
    // A loop thread that is awake looks at the commands before it sleeps.
    if (Atomics.load(words, at.LOOP_PARKED) === 0) return false
    // What is to be sent it sends itself, which is worth waking it for.
    return !this.#wakeToSend()
  }

  /**
   * At the end of a batch, and in a long one: has what was written to connections sent, all that is for one of them at
   * once. And asks for the next call, since there may be more to read for as long as you like.
   */
  #send(): void {
    if (this.#timers.wantsCall()) this.#publish()
    if (!this.#commands.hasTransfers) return
    this.#publish()
    if (Atomics.load(this.#words, at.TURNER) === at.TURNER_JS) this.#flush()
    else if (Atomics.load(this.#words, at.LOOP_PARKED) !== 0) this.#wakeToSend()
  }

  /** At the end of a run, after which nobody may turn the loop: what was written is not to wait for the next. */
  #sendLast(): void {
    if (!this.closed && this.#commands.hasTransfers) this.#handOver()
  }

  /** Wakes the loop thread if connections are asked something. */
  #wakeToSend(): boolean {
    if (!this.#commands.hasTransfers) return false
    this.#commands.hasTransfers = false
    // From here on it counts as awake, and is not woken again.
    if (Atomics.exchange(this.#words, at.LOOP_PARKED, 0) !== 0) native.loopWake(this.#native)
    return true
  }

  #flush(): void {
    this.#handOver()
    if (this.#commands.arePending()) throw corrupt('the command ring')
  }

  /** Has the native side take in what was asked of it, which one that has failed does not. */
  #handOver(): void {
    this.#publish()
    this.#commands.hasTransfers = false
    native.loopFlush(this.#native)
  }

  /**
   * Lets the native side see what was asked of it: messages first, so that a timeout that was set with them does not
   * come before them.
   */
  #publish(): void {
    this.#publishSent()
    if (this.#timers.wantsCall()) this.#commands.callAt(this.#timers.takeCall())
    this.#commands.publish()
  }

  #publishSent(): void {
    if (this.#sent === this.#sentKnown) return
    this.#sentKnown = this.#sent
    Atomics.store(this.#words, at.LOCAL_SENT, this.#sent)
    Atomics.store(this.#words, at.MAIL, 1)
  }

  /** The ring is empty: throws if the loop has failed, and asks again for a call that should have been there. */
  #lookAfterEmpty(): void {
    if (Atomics.load(this.#words, at.FAULT) !== 0) {
      throw new LoopError('ERR_MIOLO_FAILED', native.loopWhy(this.#native) ?? undefined)
    }
    if (this.#timers.awaitsCall()) this.#timers.missCall(this.#clock.now())
  }

  /** A callback has returned something: a promise's failure is the callback's. */
  #returned(value: unknown): void {
    if (typeof (value as PromiseLike<unknown> | null)?.then !== 'function') return
    const promise = Promise.resolve(value)
    if (this.isSync) {
      // That there is one is the failure, whatever becomes of it.
      promise.catch(() => {})
      throw new LoopError('ERR_MIOLO_ASYNC_IN_RUN_SYNC')
    }
    const run = this.#run
    promise.catch((error) => {
      // Too late for this run: then it is nobody's, and Node says so.
      if (run === undefined || run.isSettled) throw error
      this.#finish(run, [error])
    })
  }

  // Timeouts

  setTimer(timeout: Timeout, delayMs: number): TimeoutHandle {
    if (this.#timers.isFull()) throw new TimerError(this.#config.timerCapacity)
    // A call for another timeout may make this one due, too.
    this.#publishSent()
    const handle = this.#timers.set(timeout, this.#clock.now() + delayMs)
    if (this.#timers.wantsCall()) this.pumpSoon()
    return handle
  }

  clearTimer(handle: number): boolean {
    return this.#timers.clear(handle)
  }

  // Messages

  send(message: Message): void {
    this.#entrance.enter(message, this.#lanesMemory === undefined)
    this.#local.push(message)
    this.#sent = (this.#sent + 1) | 0
    // A thread that publishes commands has messages that were sent before them come before.
    if (this.#connections !== undefined) Atomics.store(this.#words, at.LOCAL_SENT, this.#sent)
    this.pumpSoon()
  }

  /** What a Sender in another isolate needs. */
  share(): { id: number; memory: Int32Array; lanes: Int32Array } {
    if (this.#lanesMemory === undefined) {
      const lanes = new Int32Array(new SharedArrayBuffer(at.LANES_WORDS * 4))
      for (let index = 0; index < at.LANES; index++) {
        this.#lanes.push(new LaneReceiver(this.#native, lanes, index))
      }
      this.#lanesMemory = lanes
    }
    const lanes = this.#lanesMemory
    const id = native.loopShare(this.#native, lanes, this.#config.notifyCapacity)
    return { id, memory: this.#words, lanes }
  }

  // Sockets

  register(source: Registrable, token: Token, interest: EventSet, opt: PollOpt): void {
    if (source.registration !== undefined) {
      throw source.registration.bridge === this
        ? systemError(EEXIST, 'register')
        : new LoopError('ERR_MIOLO_REGISTERED_ELSEWHERE')
    }
    if (this.#registrations.isFull()) throw new LoopError('ERR_MIOLO_TOO_MANY_REGISTRATIONS')
    const socket = source.native()
    const slot = this.#registrations.add(source)
    const generation = this.#registrations.generation(slot)
    this.#registrations.set(slot, token, isLevel(opt))
    this.#events.resetReadiness(slot, generation)
    const result = native.socketRegister(
      this.#native,
      socket,
      slot,
      generation,
      interest.bits,
      opt.bits,
    )
    if (result < 0) {
      this.#registrations.remove(slot)
      throw systemError(result, 'register')
    }
    source.registration = { bridge: this, slot }
  }

  reregister(source: Registrable, token: Token, interest: EventSet, opt: PollOpt): void {
    const slot = this.#slotOf(source, 'reregister')
    const registrations = this.#registrations
    const before = registrations.state(slot)
    const readiness = this.#events.readiness(slot)
    const generation = registrations.renew(slot)
    registrations.set(slot, token, isLevel(opt))
    this.#events.resetReadiness(slot, generation)
    const result = native.socketReregister(
      this.#native,
      source.native(),
      slot,
      generation,
      interest.bits,
      opt.bits,
    )
    if (result < 0) {
      registrations.restore(slot, before)
      this.#events.restoreReadiness(slot, readiness)
      throw systemError(result, 'reregister')
    }
  }

  deregister(source: Registrable): void {
    const slot = this.#slotOf(source, 'deregister')
    this.forget(source)
    const result = native.socketDeregister(this.#native, source.native(), slot)
    if (result < 0) throw systemError(result, 'deregister')
  }

  /** Delivers nothing more of a socket, which is being closed. */
  forget(source: Registrable): void {
    if (source.registration === undefined) return
    this.#registrations.remove(source.registration.slot)
    source.registration = undefined
  }

  #slotOf(source: Registrable, syscall: string): number {
    const { registration } = source
    if (registration === undefined) {
      // A closed socket says so.
      source.native()
      throw systemError(ENOENT, syscall)
    }
    if (registration.bridge !== this) throw new LoopError('ERR_MIOLO_REGISTERED_ELSEWHERE')
    return registration.slot
  }

  // Connections

  /** The loop's connections, which take up memory only once there is a server or a connection. */
  connections(): Connections {
    if (this.#connections === undefined) {
      Atomics.store(this.#words, at.LOCAL_SENT, this.#sent)
      this.#connections = new Connections(
        this.#native,
        this.#commands,
        () => this.#flush(),
        () => this.pumpSoon(),
      )
      this.#delivery.addConnections(this.#connections)
    }
    return this.#connections
  }

  /** Has the native side take in what was asked of it, at once. */
  flushNow(): void {
    this.#flush()
    // What came of it is to be delivered.
    this.pumpSoon()
  }

  /** The native loop, for calls that connections make. */
  get native(): NativeLoop {
    return this.#native
  }

  // The rest

  interrupt(): void {
    native.loopInterrupt(this.#native)
  }

  keepAlive(keep: boolean): void {
    this.hasRef = keep
    if (this.#run === undefined) return
    native.loopKeepAlive(this.#native, keep)
    const { limit } = this.#run
    if (keep) {
      this.#immediate?.ref()
      limit?.ref()
    } else {
      if (this.#immediate !== undefined) unref(this.#immediate)
      limit?.unref()
    }
  }

  metrics(): LoopMetrics {
    const count = (index: number) => this.#memory.counter(index)
    const words = this.#words
    return {
      iterations: count(at.METRIC_ITERATIONS),
      events: {
        ready: count(at.METRIC_READY),
        notify: count(at.METRIC_NOTIFY),
        timeout: this.#timers.delivered,
        interrupted: count(at.METRIC_INTERRUPTED),
      },
      doorbells: {
        toJs: count(at.METRIC_DOORBELLS_TO_JS),
        toLoop: count(at.METRIC_DOORBELLS_TO_LOOP),
      },
      ring: {
        depth: (Atomics.load(words, at.EVENT_TAIL) - Atomics.load(words, at.EVENT_HEAD)) | 0,
        highWater: count(at.METRIC_EVENT_RING_HIGH_WATER),
        capacity: this.#memory.layout.eventRecords,
      },
      turner: Atomics.load(words, at.TURNER) === at.TURNER_JS ? 'js' : 'thread',
      handovers: count(at.METRIC_HANDOVERS),
      pollTimeMs: count(at.METRIC_POLL_TIME_NS) / 1e6,
      dispatchTimeMs: this.#dispatchMs,
    }
  }

  close(): void {
    if (this.closed) return
    this.#sendLast()
    this.closed = true
    this.#delivery.isClosed = true
    this.#entrance.close()
    for (const source of this.#registrations.sources()) source.registration = undefined
    // In a callback the pump ends the run, when it knows whether the callback throws.
    if (this.#run && !this.#isPumping) this.#finish(this.#run)
    native.loopClose(this.#native)
    // Whoever has the loop, or a Sender of it, is not to keep what it held.
    this.#timers.clearAll()
    this.#local.clear()
    const followers = [...this.#followers.keys()]
    this.#followers.clear()
    callEach([
      ...followers.map((follower) => () => follower.close()),
      () => this.#connections?.close(),
    ])
  }
}

/** A function of its own: beside others that hold the bridge, this one would, too. */
function pumpOf<Timeout, Message>(bridge: Bridge<Timeout, Message>): () => void {
  const weak = new WeakRef(bridge)
  return () => weak.deref()?.pump()
}

/** Has an immediate not keep the process alive. Node may then sleep before it comes, so a timer ends that sleep. */
function unref(immediate: NodeJS.Immediate): void {
  immediate.unref()
  setTimeout(() => {}, 1).unref()
}

/** libuv's numbers of these errors. */
const EEXIST = process.platform === 'win32' ? -4075 : -17
const ENOENT = process.platform === 'win32' ? -4058 : -2

/** Whether readiness is told for as long as it lasts, which the dispatcher sees to. */
function isLevel(opt: PollOpt): boolean {
  return !opt.isOneshot() && (opt.isLevel() || !opt.isEdge())
}
