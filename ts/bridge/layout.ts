// Generated from crates/bridge/src/layout.rs: cargo run -p miolo-bridge --example layout
// Indices and lengths are in 32-bit words unless said otherwise.

// Control words, each on a cache line of its own

/** Events read; JavaScript writes. */
export const EVENT_HEAD = 0
/** Events published; Rust writes. */
export const EVENT_TAIL = 16
/** Commands read; Rust writes. */
export const COMMAND_HEAD = 32
/** Commands published; JavaScript writes. */
export const COMMAND_TAIL = 48
/** 1: JavaScript sleeps, or is about to, and wants the doorbell. */
export const JS_PARKED = 64
/** 1: the loop sleeps, or is about to, and wants the doorbell. */
export const LOOP_PARKED = 80
/** Messages of all Senders; a count that wraps, or `LEFT` plus `QUEUE_CLOSED` when the loop is gone. */
export const ENTERED = 96
/** Messages sent in the isolate that owns the loop; a count that wraps. JavaScript writes. */
export const LOCAL_SENT = 112
/** 1: the loop wants to be woken when JavaScript has read: the event ring was full, or has plenty. */
export const WANT_ROOM = 128
/** 1: the loop has failed, and the binding can tell why; Rust writes. */
export const FAULT = 144
/** Who turns the loop: `TURNER_THREAD` or `TURNER_JS`; Rust writes. */
export const TURNER = 160
/** 1: some Sender has sent messages that are not yet counted into an iteration. */
export const MAIL = 176
/** Messages handed to `notify`; a count that wraps. JavaScript writes. */
export const LEFT = 192
/** Commands written, published or not, once there are connections; JavaScript writes. */
export const COMMAND_WRITTEN = 208
/** 1: nobody looks for what is written and not published, or is about to, and wants to be woken for it. */
export const LOOKOUT_PARKED = 224
/** Where the counters begin. */
export const METRICS = 240
/** Words before the event ring. */
export const CONTROL_WORDS = 304

// Who turns the loop

/** A native thread. */
export const TURNER_THREAD = 0
/** The JS thread. */
export const TURNER_JS = 1

// Counters of 64 bits, two words each, low word first; Rust writes

/** How many counters there is space for. */
export const METRIC_CAPACITY = 32
/** Iterations of the loop. */
export const METRIC_ITERATIONS = 240
/** `ready` events. */
export const METRIC_READY = 242
/** `notify` events. */
export const METRIC_NOTIFY = 244
/** `interrupted` events. */
export const METRIC_INTERRUPTED = 246
/** Doorbells rung for JavaScript. */
export const METRIC_DOORBELLS_TO_JS = 248
/** Doorbells rung for the loop. */
export const METRIC_DOORBELLS_TO_LOOP = 250
/** The most records there have been in the event ring. */
export const METRIC_EVENT_RING_HIGH_WATER = 252
/** Nanoseconds spent in the poll. */
export const METRIC_POLL_TIME_NS = 254
/** How often the loop was handed over, from the one thread to the other. */
export const METRIC_HANDOVERS = 256

// Records: generation << GENERATION_SHIFT | kind, slot, argument (two words, low word first)

/** Words of a record. */
export const RECORD_WORDS = 4
/** The bits of word 0 that are the kind. */
export const KIND_MASK = 255
/** How far the generation is shifted, in word 0 of a record and in a readiness word. */
export const GENERATION_SHIFT = 8
/** The bits of a generation, before the shift. */
export const GENERATION_MASK = 16777215

// Kinds of events, from the loop to JavaScript

/** A registration (slot, generation) has readiness bits. */
export const EVENT_READY = 1
/** Messages wait in a lane: slot is the lane, argument how many. */
export const EVENT_NOTIFY = 2
/**
 * The time asked for by `COMMAND_CALL_AT` has come. Argument: what time it is, the bits of a float64,
 * milliseconds since the loop's epoch.
 */
export const EVENT_TIMEOUT = 3
/** The poll was interrupted. */
export const EVENT_INTERRUPTED = 4
/** The batch ends. */
export const EVENT_TICK = 5
/**
 * A connection (slot, generation) is open. Argument: for IPv4 the peer's address (low word, first byte
 * highest), its port << 16 | the server; otherwise 0, the server.
 */
export const EVENT_OPEN = 6
/** Bytes have come for a connection: their position in the inbound arena (low word), how many. */
export const EVENT_DATA = 7
/** A frame has come that the arena is too small for: it is the next of those that are kept natively. */
export const EVENT_LARGE = 8
/** A connection's peer has ended its side. */
export const EVENT_END = 9
/** Few enough bytes wait on a connection for more to be written. */
export const EVENT_DRAIN = 10
/** A connection has ended, or could not be made: the reason (low word), the errno, 0 if there is none. */
export const EVENT_CLOSE = 11
/** A server (slot) could not accept: the errno (low word). */
export const EVENT_SERVER_ERROR = 12

// Kinds of commands, from JavaScript to the loop

/**
 * Tell by `EVENT_TIMEOUT` when a time has come, in place of the last one asked for: then the first of
 * JavaScript's timeouts is due. Argument as there.
 */
export const COMMAND_CALL_AT = 1
/** Rearm a level-triggered registration (slot, generation) whose `ready` has been handled. */
export const COMMAND_REARM = 2
/** Send bytes on a connection: their position in the outbound arena (low word), how many. */
export const COMMAND_WRITE = 3
/** End this side of a connection, once all is sent. */
export const COMMAND_END = 4
/** Close a connection for a reason (low word), of those below. */
export const COMMAND_CLOSE = 5
/** Read no more from a connection. */
export const COMMAND_PAUSE = 6
/** Read again. */
export const COMMAND_RESUME = 7
/** Tell when few enough bytes wait on a connection. */
export const COMMAND_WANT_DRAIN = 8

// Readiness words: generation << GENERATION_SHIFT | bits, the bits those of EventSet

/** Readable. */
export const READINESS_READABLE = 1
/** Writable. */
export const READINESS_WRITABLE = 2
/** An error. */
export const READINESS_ERROR = 4
/** The peer has hung up. */
export const READINESS_HUP = 8
/** All the bits there are. */
export const READINESS_MASK = 15

// Why a connection ended

/** Both sides have ended. */
export const CLOSE_END = 0
/** The peer has reset it. */
export const CLOSE_RESET = 1
/** It was aborted from this side. */
export const CLOSE_ABORTED = 2
/** It was silent for too long. */
export const CLOSE_IDLE = 3
/** It was too old. */
export const CLOSE_LIFETIME = 4
/** Too much waited to be sent. */
export const CLOSE_OVERFLOW = 5
/** A frame was too long. */
export const CLOSE_FRAME_TOO_LONG = 6
/** There were too many connections. */
export const CLOSE_OVER_LIMIT = 7
/** Its server was closed. */
export const CLOSE_SHUTDOWN = 8
/** An error. */
export const CLOSE_ERROR = 9

// Limits of a layout

/** The most records a ring can hold. */
export const MAX_RECORDS = 16777216
/** The most registrations. */
export const MAX_REGISTRATIONS = 16777216
/** More messages than can wait: there is no loop to take them. */
export const QUEUE_CLOSED = 1073741824

// Lanes, LANE_WORDS apart in memory of their own: messages of Senders in other isolates

/** How many lanes there are. */
export const LANES = 64
/** Messages sent; a count that wraps. The producer writes. */
export const LANE_SENT = 16
/** Messages received; a count that wraps. The consumer writes. */
export const LANE_RECEIVED = 32
/** Bytes written; a count that wraps. The producer writes. */
export const LANE_BYTE_TAIL = 48
/** Bytes read; a count that wraps. The consumer writes. */
export const LANE_BYTE_HEAD = 64
/** Messages in the native spill queue. Rust writes. */
export const LANE_SPILLED = 80
/** Words before the bytes of a lane. */
export const LANE_CONTROL_WORDS = 128
/** Bytes of data in a lane, a power of two. */
export const LANE_BYTES = 524288
/** Words of a lane: its control words and its bytes. */
export const LANE_WORDS = 131200
/** Words of all lanes. */
export const LANES_WORDS = 8396800

// Connections, in memory of their own

/** Inbound bytes given back; a count that wraps. JavaScript writes. */
export const INBOUND_HEAD = 0
/** Outbound bytes given back; a count that wraps. Rust writes. */
export const OUTBOUND_HEAD = 16
/** For each connection's slot the bytes that the system has taken; a count that wraps. Rust writes. */
export const SENT = 32
/** The most connections of a loop. */
export const MAX_CONNECTIONS = 262144
/** The first word of the inbound arena. */
export const INBOUND = 262176
/** The first word of the outbound arena. */
export const OUTBOUND = 524320
/** Words of all that. */
export const CONNECTIONS_WORDS = 786464
/** Bytes of an arena, a power of two. */
export const ARENA_BYTES = 1048576
/** Where a span of an arena begins is a multiple of this. */
export const ARENA_ALIGN = 8

/** Where the rings and the readiness words of one loop are. */
export interface Layout {
  /** Records of the event ring, a power of two. */
  readonly eventRecords: number
  /** Records of the command ring, a power of two. */
  readonly commandRecords: number
  /** Registrations, one readiness word each. */
  readonly registrations: number
  /** The first word of the event ring. */
  readonly eventRing: number
  /** The first word of the command ring. */
  readonly commandRing: number
  /** The first readiness word. */
  readonly readiness: number
  /** Words in all. */
  readonly words: number
}

const clamp = (n: number, max: number): number => Math.min(Math.max(n, 1), max)
const powerOfTwo = (n: number): number => 2 ** (32 - Math.clz32(n - 1))
const line = (words: number): number => Math.ceil(words / 16) * 16

/**
 * The layout for so many records and registrations, which are integers. Records are rounded up to
 * a power of two; all three are kept between 1 and their maximum.
 */
export function layout(events: number, commands: number, registered: number): Layout {
  const eventRecords = powerOfTwo(clamp(events, MAX_RECORDS))
  const commandRecords = powerOfTwo(clamp(commands, MAX_RECORDS))
  const registrations = clamp(registered, MAX_REGISTRATIONS)
  const eventRing = CONTROL_WORDS
  const commandRing = line(eventRing + eventRecords * RECORD_WORDS)
  const readiness = line(commandRing + commandRecords * RECORD_WORDS)
  const words = line(readiness + registrations)
  return { eventRecords, commandRecords, registrations, eventRing, commandRing, readiness, words }
}
