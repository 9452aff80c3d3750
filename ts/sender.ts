import { types } from 'node:util'

import type { brand } from './brand.ts'
import type { Bridge } from './bridge/bridge.ts'
import { native } from './bridge/binding.ts'
import { LaneSender } from './bridge/lane.ts'
import * as at from './bridge/layout.ts'
import { closed, invalidType, LoopError } from './errors.ts'

/**
 * A Sender on its way to another thread: pass it in `workerData` or by `postMessage`, and make it a Sender again with
 * {@link Sender.from}. Up to 64 Senders made so can be in use at once for one event loop.
 */
export interface SharedSender {
  readonly [brand]: 'SharedSender'
  /** @internal */
  readonly miolo: 'SharedSender'
  /** @internal */
  readonly id: number
  /** @internal */
  readonly memory: Int32Array
  /** @internal */
  readonly lanes: Int32Array
}

interface Channel<Message> {
  send(message: Message): void
}

/** Sends messages to an event loop, from its own thread or from others. mio: `Sender`. */
export class Sender<Message = unknown> {
  readonly #channel: Channel<Message>
  readonly #share: () => SharedSender

  private constructor(channel: Channel<Message>, share: () => SharedSender) {
    this.#channel = channel
    this.#share = share
  }

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
  send(message: Message): void {
    this.#channel.send(message)
  }

  /**
   * What another thread needs to send to the same loop. The first call reserves 32 MiB of address space for the loop, of
   * which only what messages come to lie in takes memory.
   *
   * @throws {@link LoopError} `ERR_MIOLO_CLOSED`. Not by a Sender that was made by {@link from}: there `from` tells.
   */
  share(): SharedSender {
    return this.#share()
  }

  /**
   * The Sender that was shared. It sends to the loop of {@link EventLoop.channel}, wherever that runs.
   *
   * @throws `TypeError` if `shared` is not what {@link share} returned; {@link LoopError} `ERR_MIOLO_CLOSED` if the
   * loop is gone, `ERR_MIOLO_TOO_MANY_SENDERS` if 64 are in use.
   */
  static from<M = unknown>(shared: SharedSender): Sender<M> {
    if (!isSharedSender(shared))
      throw invalidType('shared', 'what share() of a Sender has returned', shared)
    const { id, memory, lanes } = shared
    const attached = native.senderAttach(id, memory, lanes)
    if (attached === native.SENDER_LOOP_GONE) throw closed('event loop')
    if (attached === native.SENDER_NO_LANE) throw new LoopError('ERR_MIOLO_TOO_MANY_SENDERS')
    if (typeof attached === 'number')
      throw invalidType('shared', 'what share() of a Sender has returned', shared)
    const { attachment, lane, capacity } = attached
    const channel = new LaneSender<M>(attachment, memory, lanes, lane, capacity)
    return new Sender(channel, () => shared)
  }

  /** The Sender of a loop in this thread. @internal */
  static to<T, M>(bridge: Bridge<T, M>): Sender<M> {
    return new Sender(bridge, () => {
      if (bridge.closed) throw closed('event loop')
      return { miolo: 'SharedSender', ...bridge.share() } as SharedSender
    })
  }
}

function isSharedSender(value: unknown): value is SharedSender {
  if (typeof value !== 'object' || value === null) return false
  const { miolo, id, memory, lanes } = value as Partial<SharedSender>
  return (
    miolo === 'SharedSender' &&
    Number.isInteger(id) &&
    (id as number) >= 0 &&
    (id as number) <= 0xffffffff &&
    isShared(memory) &&
    memory.length > at.CONTROL_WORDS &&
    isShared(lanes) &&
    lanes.length === at.LANES_WORDS
  )
}

function isShared(value: unknown): value is Int32Array {
  return types.isInt32Array(value) && types.isSharedArrayBuffer(value.buffer)
}
