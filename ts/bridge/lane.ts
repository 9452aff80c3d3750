/**
 * A lane: messages of a Sender in another isolate, through shared memory.
 *
 * ```text
 *   word 0  its kind
 *   word 1  the length of its payload in bytes; of an INTEGER, the integer; of a SKIP, nothing
 *   payload, padded to 8 bytes
 * ```
 *
 * A message never wraps around the end of the lane; one of kind SKIP fills what is left there. What has no room is
 * spilled to the native side, and so is all that follows until the receiver has taken it over: the order holds.
 *
 * A worker can be terminated at any call, those of Atomics among them. So a message is written first; then it is
 * counted, by a compareExchange, and sent, by a plain store right behind it. What a terminated Sender has left undone,
 * its native side does.
 */

import { types } from 'node:util'
import { deserialize, serialize } from 'node:v8'

import { corrupt, LoopError } from '../errors.ts'
import { native, type NativeAttachment, type NativeLoop } from './binding.ts'
import { lengthOf } from '../validate.ts'
import * as at from './layout.ts'
import { QueueEntrance } from './queue.ts'

const SKIP = 0
const INTEGER = 1
const FLOAT = 2
const LATIN1 = 3
const UTF16 = 4
const BYTES = 5
const SERIALIZED = 6

const HEADER = 8
/** Longer messages are spilled, so that one of them cannot take the whole lane. */
const LONGEST = at.LANE_BYTES / 4
/** Bytes of a message, whose length is a positive Int32. */
const LARGEST = 2 ** 31 - 16
const MASK = at.LANE_BYTES - 1
/** In place of a tail: the message has no room in the lane. No tail is odd. */
const PUT_ASIDE = 1
/** Strings that are looked at letter by letter, which is faster than a call for them. */
const SHORT = 128

/** Views of messages, one behind the other. */
class Messages {
  readonly words: Int32Array
  readonly bytes: Uint8Array
  readonly floats: Float64Array
  readonly buffer: Buffer

  constructor(memory: ArrayBufferLike, start: number, length: number) {
    this.words = new Int32Array(memory, start, length / 4)
    this.bytes = new Uint8Array(memory, start, length)
    this.floats = new Float64Array(memory, start, length / 8)
    this.buffer = Buffer.from(memory as ArrayBuffer, start, length)
  }
}

/** Views of one lane: its control words, and the messages in it. */
function laneOf(lanes: Int32Array, index: number): { control: Int32Array; data: Messages } {
  const start = lanes.byteOffset + index * at.LANE_WORDS * 4
  return {
    control: new Int32Array(lanes.buffer, start, at.LANE_CONTROL_WORDS),
    data: new Messages(lanes.buffer, start + at.LANE_CONTROL_WORDS * 4, at.LANE_BYTES),
  }
}

const padded = (length: number): number => (length + 7) & ~7

/** The sending end, in the Sender's isolate. */
export class LaneSender<Message> {
  readonly #memory: Int32Array
  readonly #queue: QueueEntrance
  readonly #attachment: NativeAttachment
  readonly #control: Int32Array
  readonly #data: Messages
  #sent: number
  /** The receiver's head as last seen. */
  #head: number
  #tail: number
  /** A message that will be spilled: its kind and its payload. */
  #asideKind = SKIP
  #aside: Uint8Array = new Uint8Array(0)

  constructor(
    attachment: NativeAttachment,
    memory: Int32Array,
    lanes: Int32Array,
    index: number,
    capacity: number,
  ) {
    const { control, data } = laneOf(lanes, index)
    this.#attachment = attachment
    this.#memory = memory
    this.#queue = new QueueEntrance(memory, capacity)
    this.#control = control
    this.#data = data
    this.#sent = Atomics.load(control, at.LANE_SENT)
    this.#head = Atomics.load(control, at.LANE_BYTE_HEAD)
    // Nothing is on its way in a lane that was free: where it ends is where the receiver is.
    this.#tail = this.#head
  }

  send(message: Message): void {
    const memory = this.#memory
    const control = this.#control
    const known = control[at.LANE_SENT] as number
    if (known !== this.#sent) {
      // The last send was interrupted when its message was sent already.
      this.#tail = control[at.LANE_BYTE_TAIL] as number
      this.#sent = known
    }
    const tail = this.#write(message)
    if (tail === PUT_ASIDE) this.#spill(message)
    else {
      const sent = (this.#sent + 1) | 0
      // Beyond what was counted nobody reads, so this may be said before. An atomic store, behind the bytes and before the
      // exchange: so the plain one that sends them is seen after them on every processor.
      Atomics.store(control, at.LANE_BYTE_TAIL, tail)
      let entered
      do entered = this.#queue.look(message)
      while (Atomics.compareExchange(memory, at.ENTERED, entered, (entered + 1) | 0) !== entered)
      control[at.LANE_SENT] = sent
      memory[at.MAIL] = 1
      this.#tail = tail
      this.#sent = sent
    }
    Atomics.store(memory, at.MAIL, 1)
    if (Atomics.load(memory, at.JS_PARKED) !== 0 && !native.senderRing(this.#attachment)) {
      this.#queue.close()
      this.#queue.look(message)
    }
  }

  /** Has the native side keep the message that was put aside. */
  #spill(message: Message): void {
    // What an interrupted send has said of bytes that were not counted is not so.
    Atomics.store(this.#control, at.LANE_BYTE_TAIL, this.#tail)
    while (!native.senderSpill(this.#attachment, this.#asideKind, this.#aside)) {
      this.#queue.lookAgain(message)
    }
    this.#sent = Atomics.load(this.#control, at.LANE_SENT)
  }

  /** Writes a message after the published ones. Returns the tail that will publish it. */
  #write(message: unknown): number {
    if (typeof message === 'number') {
      const integer = message | 0
      if (integer === message && (integer !== 0 || 1 / message > 0)) {
        const place = this.#place(0)
        if (place >= 0) return this.#finish(place, INTEGER, 0, integer)
      } else {
        const place = this.#place(8)
        if (place >= 0) {
          this.#data.floats[(place + HEADER) >> 3] = message
          return this.#finish(place, FLOAT, 8, 0)
        }
      }
      return this.#putAside(FLOAT, new Uint8Array(Float64Array.of(message).buffer))
    }
    if (typeof message === 'string') return this.#writeString(message)
    if (types.isUint8Array(message)) return this.#writeBytes(BYTES, message)
    return this.#writeBytes(SERIALIZED, clone(message))
  }

  #writeBytes(kind: number, payload: Uint8Array): number {
    const length = lengthOf(payload)
    const place = this.#place(length)
    if (place < 0) return this.#putAside(kind, payload)
    this.#data.bytes.set(payload, place + HEADER)
    return this.#finish(place, kind, length, 0)
  }

  #writeString(message: string): number {
    const { length } = message
    if (length <= SHORT) {
      const place = this.#place(length)
      if (place >= 0) {
        const { bytes } = this.#data
        let index = 0
        for (; index < length; index++) {
          const code = message.charCodeAt(index)
          if (code > 0xff) break
          bytes[place + HEADER + index] = code
        }
        if (index === length) return this.#finish(place, LATIN1, length, 0)
      }
    }
    const place = this.#place(length * 2)
    if (place < 0) return this.#putAside(UTF16, Buffer.from(message, 'utf16le'))
    this.#data.buffer.write(message, place + HEADER, 'utf16le')
    return this.#finish(place, UTF16, length * 2, 0)
  }

  #putAside(kind: number, payload: Uint8Array): number {
    if (lengthOf(payload) > LARGEST) {
      throw new DOMException(`More than ${LARGEST} bytes cannot be sent`, 'DataCloneError')
    }
    this.#asideKind = kind
    this.#aside = payload
    return PUT_ASIDE
  }

  /** Where a message with so much payload can go, or −1. */
  #place(payload: number): number {
    const size = HEADER + padded(payload)
    // Nobody but this Sender has more spilled, so a plain load does.
    if (payload > LONGEST || this.#control[at.LANE_SPILLED] !== 0) return -1
    const place = this.#tail & MASK
    const left = at.LANE_BYTES - place
    const needed = size <= left ? size : left + size
    if (((this.#tail - this.#head) | 0) + needed > at.LANE_BYTES) {
      this.#head = Atomics.load(this.#control, at.LANE_BYTE_HEAD)
      if (((this.#tail - this.#head) | 0) + needed > at.LANE_BYTES) return -1
    }
    if (size <= left) return place
    this.#data.words[place >> 2] = SKIP
    return 0
  }

  #finish(place: number, kind: number, length: number, integer: number): number {
    const { words } = this.#data
    words[place >> 2] = kind
    words[(place >> 2) + 1] = kind === INTEGER ? integer : length
    const from = this.#tail & MASK
    const skipped = place === from ? 0 : at.LANE_BYTES - from
    return (this.#tail + skipped + HEADER + padded(length)) | 0
  }
}

/** The receiving end, in the loop's isolate. */
export class LaneReceiver {
  readonly #loop: NativeLoop
  readonly #index: number
  readonly #control: Int32Array
  readonly #lane: Messages
  #head = 0
  /** The Sender's tail as last seen. */
  #tail = 0
  #received = 0
  /** Spilled messages that were taken over, and how far they have been received. */
  #spilled: Messages | undefined
  #spilledHead = 0

  constructor(loop: NativeLoop, lanes: Int32Array, index: number) {
    const { control, data } = laneOf(lanes, index)
    this.#loop = loop
    this.#index = index
    this.#control = control
    this.#lane = data
  }

  /** Looks how far the lane is filled. To be called when messages have been counted, before they are received. */
  look(): void {
    this.#tail = Atomics.load(this.#control, at.LANE_BYTE_TAIL)
  }

  /** The oldest message, one that has been counted. Throws for one that cannot be read, and is behind it the next time. */
  receive(): unknown {
    this.#received = (this.#received + 1) | 0
    if (this.#spilled !== undefined) return this.#receiveSpilled(this.#spilled)
    if (this.#head === this.#tail) return this.#receiveSpilled(this.#takeSpilled())
    let place = this.#head & MASK
    if (this.#lane.words[place >> 2] === SKIP) {
      this.#head = (this.#head + at.LANE_BYTES - place) | 0
      place = 0
    }
    const size = sizeAt(this.#lane, place)
    this.#head = (this.#head + size) | 0
    // What is left is no more than fits, or the message was not there.
    if ((this.#tail - this.#head) >>> 0 > at.LANE_BYTES - size) throw corrupt('a lane')
    return decode(this.#lane, place)
  }

  /** Gives the places of the received messages back to the Sender. */
  release(): void {
    Atomics.store(this.#control, at.LANE_BYTE_HEAD, this.#head)
    Atomics.store(this.#control, at.LANE_RECEIVED, this.#received)
  }

  #takeSpilled(): Messages {
    const taken = native.loopTakeSpilled(this.#loop, this.#index)
    if (taken === null) throw corrupt('a lane')
    this.#spilledHead = 0
    return (this.#spilled = new Messages(taken.buffer, taken.byteOffset, taken.length))
  }

  #receiveSpilled(spilled: Messages): unknown {
    const place = this.#spilledHead
    this.#spilledHead += sizeAt(spilled, place)
    if (this.#spilledHead === spilled.bytes.length) this.#spilled = undefined
    return decode(spilled, place)
  }
}

/** The size of the message at `place`, which cannot be longer than what holds it. */
function sizeAt({ words, bytes }: Messages, place: number): number {
  if (words[place >> 2] === INTEGER) return HEADER
  const length = words[(place >> 2) + 1] as number
  if (length < 0 || length > bytes.length - place - HEADER) throw corrupt('a message')
  return HEADER + padded(length)
}

function decode({ words, bytes, floats, buffer }: Messages, place: number): unknown {
  const length = words[(place >> 2) + 1] as number
  const start = place + HEADER
  switch (words[place >> 2]) {
    case INTEGER:
      return length
    case FLOAT:
      return floats[start >> 3]
    case LATIN1:
      return buffer.toString('latin1', start, start + length)
    case UTF16:
      return buffer.toString('utf16le', start, start + length)
    case BYTES:
      return bytes.slice(start, start + length)
    case SERIALIZED:
      try {
        return deserialize(bytes.slice(start, start + length))
      } catch (cause) {
        throw new LoopError('ERR_MIOLO_UNREADABLE_MESSAGE', String(cause), { cause })
      }
    default:
      throw corrupt('a message')
  }
}

/** The structured clone of a value, as bytes. */
function clone(message: unknown): Uint8Array {
  try {
    return serialize(message)
  } catch (error) {
    // structuredClone knows better how to say why; what it can clone and bytes cannot hold is named here.
    structuredClone(message)
    throw new DOMException(String(error), 'DataCloneError')
  }
}
