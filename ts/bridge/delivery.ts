/** From records to callbacks: what the loop has written is handed to a Handler, batch by batch. */

import { performance } from 'node:perf_hooks'

import { corrupt } from '../errors.ts'
import { EventSet } from '../event-set.ts'
import type { EventLoop } from '../event-loop.ts'
import type { Handler } from '../handler.ts'
import type { Clock } from './clock.ts'
import type { Commands } from './commands.ts'
import type { Connections } from './connections.ts'
import type { Events } from './events.ts'
import type { LaneReceiver } from './lane.ts'
import * as at from './layout.ts'
import type { MessageQueue } from './message-queue.ts'
import type { QueueExit } from './queue.ts'
import type { Registrations } from './registrations.ts'
import type { Timers } from './timers.ts'

/** Why {@link Delivery.deliver} returned: no record is left, a batch has ended, time is up, or the loop was closed. */
export type Outcome = 'empty' | 'batch' | 'yield' | 'closed'

/** The lane of the messages that the loop's isolate sends to itself. */
const LOCAL = at.LANES
/** How many callbacks there are between two looks at the clock. */
const CALLBACKS = 16
/** How many messages are read from a lane before its Sender gets the room back, less one. */
const RELEASE_MASK = 63
/** Milliseconds after which what was written is sent though the batch goes on. */
const SEND_MS = 1

export interface Sources<Timeout, Message> {
  loop: EventLoop<Timeout, Message>
  events: Events
  /** Counts the messages that are delivered. */
  exit: QueueExit
  commands: Commands
  clock: Clock
  timers: Timers<Timeout>
  registrations: Registrations
  local: MessageQueue<Message>
  lanes: LaneReceiver[]
  /** Once there are any. */
  connections?: Connections
  /** The most messages that can wait. */
  capacity: number
  /** Has what was written to connections sent. */
  send(): void
  /** What to do with what a callback returned, if it returned anything. */
  returned(value: unknown): void
}

export class Delivery<Timeout, Message> {
  /** Something of a batch has been delivered, and its tick has not. */
  isMidBatch = false
  isClosed = false
  readonly #from: Sources<Timeout, Message>
  /** Messages of the current record that are still to be delivered, and their lane. */
  #messages = 0
  #lane = LOCAL
  /** Callbacks since the last look at the clock. */
  #callbacks = 0
  /** When what was written is to be sent at the latest. */
  #sendAt = 0

  constructor(from: Sources<Timeout, Message>) {
    this.#from = from
  }

  /** There are connections from now on. */
  addConnections(connections: Connections): void {
    this.#from.connections = connections
  }

  /**
   * Delivers what is in the ring until a batch ends, or until the clock says `deadline`. Where a callback throws, it
   * goes on behind that record the next time.
   */
  deliver(handler: Handler<Timeout, Message>, deadline: number): Outcome {
    const { loop, events, timers, connections } = this.#from
    if (this.isClosed) return 'closed'
    try {
      for (;;) {
        if (this.#messages > 0) {
          this.#deliverMessages(handler)
        } else if (timers.hasDue()) {
          this.isMidBatch = true
          // Also where there is no callback for it.
          const timeout = timers.takeDue()
          this.#returned(handler.timeout?.(loop, timeout))
        } else if (connections?.hasDue) {
          this.isMidBatch = true
          this.#returned(connections.deliverDue())
        } else if (!events.next()) {
          // What was due by itself has no record for its end.
          if (!this.isMidBatch) return 'empty'
          this.#endBatch(handler)
          return this.isClosed ? 'closed' : 'batch'
        } else if (events.kind() === at.EVENT_TICK) {
          if (this.#endBatch(handler)) return this.isClosed ? 'closed' : 'batch'
        } else this.#deliverRecord(handler)
        if (this.isClosed) return 'closed'
        if (++this.#callbacks > CALLBACKS) {
          this.#callbacks = 0
          const now = performance.now()
          if (now > this.#sendAt) {
            this.#sendAt = now + SEND_MS
            this.#from.send()
          }
          if (now > deadline) return 'yield'
        }
      }
    } finally {
      events.release()
    }
  }

  #deliverRecord(handler: Handler<Timeout, Message>): void {
    const { loop, events, timers, registrations } = this.#from
    const slot = events.slot()
    const generation = events.generation()
    switch (events.kind()) {
      case at.EVENT_READY: {
        if (!registrations.isCurrent(slot, generation)) return
        const bits = events.takeReadiness(slot)
        if (bits === 0) return
        this.isMidBatch = true
        try {
          this.#returned(handler.ready?.(loop, registrations.token(slot), EventSet.of(bits)))
        } finally {
          if (registrations.isCurrent(slot, generation) && registrations.isLevel(slot)) {
            this.#from.commands.rearm(slot, generation)
          }
        }
        return
      }
      case at.EVENT_NOTIFY:
        this.#messages = this.#countIn(slot, events.argument())
        this.#lane = slot
        this.#from.lanes[slot]?.look()
        return
      case at.EVENT_TIMEOUT: {
        const now = events.argumentFloat()
        if (!(now >= 0)) throw corrupt('the time of a timeout')
        // What is not true makes none early.
        timers.advance(Math.min(now, this.#from.clock.now()))
        return
      }
      case at.EVENT_INTERRUPTED:
        this.isMidBatch = true
        this.#returned(handler.interrupted?.(loop))
        return
      default: {
        const { connections } = this.#from
        if (connections === undefined) throw corrupt('an event')
        const kind = events.kind()
        const low = events.argument()
        const high = events.argumentHigh()
        const receiver = connections.receiver(kind, slot, generation, low, high)
        if (receiver === undefined) return
        this.isMidBatch = true
        this.#returned(connections.deliver(receiver, kind, low, high))
      }
    }
  }

  /** How many messages of a lane a record announces. */
  #countIn(lane: number, count: number): number {
    const { local, lanes, capacity } = this.#from
    const most = lane === LOCAL ? local.length : lanes[lane] === undefined ? 0 : capacity
    if (count < 1 || count > most) throw corrupt('a count of messages')
    return count
  }

  /** Delivers messages of the current record: all, or as many as there may be between two looks at the clock. */
  #deliverMessages(handler: Handler<Timeout, Message>): void {
    const { loop, local, lanes, exit } = this.#from
    const lane = this.#lane === LOCAL ? undefined : (lanes[this.#lane] as LaneReceiver)
    this.isMidBatch = true
    for (; this.#callbacks < CALLBACKS && this.#messages > 0 && !this.isClosed; this.#callbacks++) {
      this.#messages--
      exit.leave()
      const message = lane === undefined ? local.shift() : (this.#receive(lane) as Message)
      const result: unknown = handler.notify?.(loop, message)
      if (result !== undefined) this.#from.returned(result)
    }
  }

  #receive(lane: LaneReceiver): unknown {
    try {
      return lane.receive()
    } finally {
      if ((this.#messages & RELEASE_MASK) === 0) lane.release()
    }
  }

  /** The tick of a batch. False if nothing of the batch was worth delivering. */
  #endBatch(handler: Handler<Timeout, Message>): boolean {
    if (!this.isMidBatch) return false
    this.isMidBatch = false
    this.#returned(handler.tick?.(this.#from.loop))
    return true
  }

  #returned(value: unknown): void {
    if (value !== undefined) this.#from.returned(value)
  }
}
