//! Where everything is in the memory that JavaScript and Rust share, and how it is encoded.
//!
//! All of it stands here once: the constants in one table, from which both the Rust constants and the TypeScript
//! module ([`typescript`]) are made. Indices and lengths are in 32-bit words unless said otherwise.
//!
//! ```text
//!     0  EVENT_HEAD      JavaScript        96  ENTERED        all
//!    16  EVENT_TAIL      Rust             112  LOCAL_SENT     JavaScript
//!    32  COMMAND_HEAD    Rust             128  WANT_ROOM      both
//!    48  COMMAND_TAIL    JavaScript       144  FAULT          Rust
//!    64  JS_PARKED       both             160  TURNER         Rust
//!    80  LOOP_PARKED     both             176  MAIL           all
//!   192  LEFT            JavaScript       208  COMMAND_WRITTEN JavaScript
//!   224  LOOKOUT_PARKED  both             240  METRICS        Rust, 32 counters of 64 bits
//!   304  the event ring, then the command ring, then the readiness words, each from a line of its own on
//! ```

/// A constant of the table, as the TypeScript module gets it.
struct Constant {
    name: &'static str,
    value: u64,
    docs: &'static [&'static str],
}

/// Constants that belong together, under a heading.
struct Section {
    title: &'static str,
    constants: &'static [Constant],
}

/// Makes the Rust constants and [`SECTIONS`] of one list.
macro_rules! table {
    ($($title:literal { $($(#[doc = $doc:literal])+ $name:ident: $type:ty = $value:expr;)+ })+) => {
        $($($(#[doc = $doc])+ pub const $name: $type = $value;)+)+

        static SECTIONS: &[Section] = &[
            $(Section {
                title: $title,
                constants: &[
                    $(Constant { name: stringify!($name), value: $name as u64, docs: &[$($doc),+] }),+
                ],
            }),+
        ];
    };
}

table! {
    "Control words, each on a cache line of its own" {
        /// Events read; JavaScript writes.
        EVENT_HEAD: usize = 0;
        /// Events published; Rust writes.
        EVENT_TAIL: usize = 16;
        /// Commands read; Rust writes.
        COMMAND_HEAD: usize = 32;
        /// Commands published; JavaScript writes.
        COMMAND_TAIL: usize = 48;
        /// 1: JavaScript sleeps, or is about to, and wants the doorbell.
        JS_PARKED: usize = 64;
        /// 1: the loop sleeps, or is about to, and wants the doorbell.
        LOOP_PARKED: usize = 80;
        /// Messages of all Senders; a count that wraps, or `LEFT` plus `QUEUE_CLOSED` when the loop is gone.
        ENTERED: usize = 96;
        /// Messages sent in the isolate that owns the loop; a count that wraps. JavaScript writes.
        LOCAL_SENT: usize = 112;
        /// 1: the loop wants to be woken when JavaScript has read: the event ring was full, or has plenty.
        WANT_ROOM: usize = 128;
        /// 1: the loop has failed, and the binding can tell why; Rust writes.
        FAULT: usize = 144;
        /// Who turns the loop: `TURNER_THREAD` or `TURNER_JS`; Rust writes.
        TURNER: usize = 160;
        /// 1: some Sender has sent messages that are not yet counted into an iteration.
        MAIL: usize = 176;
        /// Messages handed to `notify`; a count that wraps. JavaScript writes.
        LEFT: usize = 192;
        /// Commands written, published or not, once there are connections; JavaScript writes.
        COMMAND_WRITTEN: usize = 208;
        /// 1: nobody looks for what is written and not published, or is about to, and wants to be woken for it.
        LOOKOUT_PARKED: usize = 224;
        /// Where the counters begin.
        METRICS: usize = 240;
        /// Words before the event ring.
        CONTROL_WORDS: usize = METRICS + 2 * METRIC_CAPACITY;
    }
    "Who turns the loop" {
        /// A native thread.
        TURNER_THREAD: u32 = 0;
        /// The JS thread.
        TURNER_JS: u32 = 1;
    }
    "Counters of 64 bits, two words each, low word first; Rust writes" {
        /// How many counters there is space for.
        METRIC_CAPACITY: usize = 32;
        /// Iterations of the loop.
        METRIC_ITERATIONS: usize = METRICS;
        /// `ready` events.
        METRIC_READY: usize = METRICS + 2;
        /// `notify` events.
        METRIC_NOTIFY: usize = METRICS + 4;
        /// `interrupted` events.
        METRIC_INTERRUPTED: usize = METRICS + 6;
        /// Doorbells rung for JavaScript.
        METRIC_DOORBELLS_TO_JS: usize = METRICS + 8;
        /// Doorbells rung for the loop.
        METRIC_DOORBELLS_TO_LOOP: usize = METRICS + 10;
        /// The most records there have been in the event ring.
        METRIC_EVENT_RING_HIGH_WATER: usize = METRICS + 12;
        /// Nanoseconds spent in the poll.
        METRIC_POLL_TIME_NS: usize = METRICS + 14;
        /// How often the loop was handed over, from the one thread to the other.
        METRIC_HANDOVERS: usize = METRICS + 16;
    }
    "Records: generation << GENERATION_SHIFT | kind, slot, argument (two words, low word first)" {
        /// Words of a record.
        RECORD_WORDS: usize = 4;
        /// The bits of word 0 that are the kind.
        KIND_MASK: u32 = 0xff;
        /// How far the generation is shifted, in word 0 of a record and in a readiness word.
        GENERATION_SHIFT: u32 = 8;
        /// The bits of a generation, before the shift.
        GENERATION_MASK: u32 = 0xff_ffff;
    }
    "Kinds of events, from the loop to JavaScript" {
        /// A registration (slot, generation) has readiness bits.
        EVENT_READY: u8 = 1;
        /// Messages wait in a lane: slot is the lane, argument how many.
        EVENT_NOTIFY: u8 = 2;
        /// The time asked for by `COMMAND_CALL_AT` has come. Argument: what time it is, the bits of a float64,
        /// milliseconds since the loop's epoch.
        EVENT_TIMEOUT: u8 = 3;
        /// The poll was interrupted.
        EVENT_INTERRUPTED: u8 = 4;
        /// The batch ends.
        EVENT_TICK: u8 = 5;
        /// A connection (slot, generation) is open. Argument: for IPv4 the peer's address (low word, first byte
        /// highest), its port << 16 | the server; otherwise 0, the server.
        EVENT_OPEN: u8 = 6;
        /// Bytes have come for a connection: their position in the inbound arena (low word), how many.
        EVENT_DATA: u8 = 7;
        /// A frame has come that the arena is too small for: it is the next of those that are kept natively.
        EVENT_LARGE: u8 = 8;
        /// A connection's peer has ended its side.
        EVENT_END: u8 = 9;
        /// Few enough bytes wait on a connection for more to be written.
        EVENT_DRAIN: u8 = 10;
        /// A connection has ended, or could not be made: the reason (low word), the errno, 0 if there is none.
        EVENT_CLOSE: u8 = 11;
        /// A server (slot) could not accept: the errno (low word).
        EVENT_SERVER_ERROR: u8 = 12;
    }
    "Kinds of commands, from JavaScript to the loop" {
        /// Tell by `EVENT_TIMEOUT` when a time has come, in place of the last one asked for: then the first of
        /// JavaScript's timeouts is due. Argument as there.
        COMMAND_CALL_AT: u8 = 1;
        /// Rearm a level-triggered registration (slot, generation) whose `ready` has been handled.
        COMMAND_REARM: u8 = 2;
        /// Send bytes on a connection: their position in the outbound arena (low word), how many.
        COMMAND_WRITE: u8 = 3;
        /// End this side of a connection, once all is sent.
        COMMAND_END: u8 = 4;
        /// Close a connection for a reason (low word), of those below.
        COMMAND_CLOSE: u8 = 5;
        /// Read no more from a connection.
        COMMAND_PAUSE: u8 = 6;
        /// Read again.
        COMMAND_RESUME: u8 = 7;
        /// Tell when few enough bytes wait on a connection.
        COMMAND_WANT_DRAIN: u8 = 8;
    }
    "Readiness words: generation << GENERATION_SHIFT | bits, the bits those of EventSet" {
        /// Readable.
        READINESS_READABLE: u32 = 1;
        /// Writable.
        READINESS_WRITABLE: u32 = 2;
        /// An error.
        READINESS_ERROR: u32 = 4;
        /// The peer has hung up.
        READINESS_HUP: u32 = 8;
        /// All the bits there are.
        READINESS_MASK: u32 = READINESS_READABLE | READINESS_WRITABLE | READINESS_ERROR | READINESS_HUP;
    }
    "Why a connection ended" {
        /// Both sides have ended.
        CLOSE_END: u32 = 0;
        /// The peer has reset it.
        CLOSE_RESET: u32 = 1;
        /// It was aborted from this side.
        CLOSE_ABORTED: u32 = 2;
        /// It was silent for too long.
        CLOSE_IDLE: u32 = 3;
        /// It was too old.
        CLOSE_LIFETIME: u32 = 4;
        /// Too much waited to be sent.
        CLOSE_OVERFLOW: u32 = 5;
        /// A frame was too long.
        CLOSE_FRAME_TOO_LONG: u32 = 6;
        /// There were too many connections.
        CLOSE_OVER_LIMIT: u32 = 7;
        /// Its server was closed.
        CLOSE_SHUTDOWN: u32 = 8;
        /// An error.
        CLOSE_ERROR: u32 = 9;
    }
    "Limits of a layout" {
        /// The most records a ring can hold.
        MAX_RECORDS: u32 = 1 << 24;
        /// The most registrations.
        MAX_REGISTRATIONS: u32 = 1 << 24;
        /// More messages than can wait: there is no loop to take them.
        QUEUE_CLOSED: u32 = 1 << 30;
    }
    "Lanes, LANE_WORDS apart in memory of their own: messages of Senders in other isolates" {
        /// How many lanes there are.
        LANES: usize = 64;
        /// Messages sent; a count that wraps. The producer writes.
        LANE_SENT: usize = 16;
        /// Messages received; a count that wraps. The consumer writes.
        LANE_RECEIVED: usize = 32;
        /// Bytes written; a count that wraps. The producer writes.
        LANE_BYTE_TAIL: usize = 48;
        /// Bytes read; a count that wraps. The consumer writes.
        LANE_BYTE_HEAD: usize = 64;
        /// Messages in the native spill queue. Rust writes.
        LANE_SPILLED: usize = 80;
        /// Words before the bytes of a lane.
        LANE_CONTROL_WORDS: usize = 128;
        /// Bytes of data in a lane, a power of two.
        LANE_BYTES: usize = 512 * 1024;
        /// Words of a lane: its control words and its bytes.
        LANE_WORDS: usize = LANE_CONTROL_WORDS + LANE_BYTES / 4;
        /// Words of all lanes.
        LANES_WORDS: usize = LANES * LANE_WORDS;
    }
    "Connections, in memory of their own" {
        /// Inbound bytes given back; a count that wraps. JavaScript writes.
        INBOUND_HEAD: usize = 0;
        /// Outbound bytes given back; a count that wraps. Rust writes.
        OUTBOUND_HEAD: usize = 16;
        /// For each connection's slot the bytes that the system has taken; a count that wraps. Rust writes.
        SENT: usize = 32;
        /// The most connections of a loop.
        MAX_CONNECTIONS: usize = 1 << 18;
        /// The first word of the inbound arena.
        INBOUND: usize = SENT + MAX_CONNECTIONS;
        /// The first word of the outbound arena.
        OUTBOUND: usize = INBOUND + ARENA_BYTES / 4;
        /// Words of all that.
        CONNECTIONS_WORDS: usize = OUTBOUND + ARENA_BYTES / 4;
        /// Bytes of an arena, a power of two.
        ARENA_BYTES: usize = 1024 * 1024;
        /// Where a span of an arena begins is a multiple of this.
        ARENA_ALIGN: usize = 8;
    }
}

/// Words of a cache line.
const LINE: usize = 16;

const _: () = {
    let lines = [
        EVENT_HEAD,
        EVENT_TAIL,
        COMMAND_HEAD,
        COMMAND_TAIL,
        JS_PARKED,
        LOOP_PARKED,
        ENTERED,
        LOCAL_SENT,
        WANT_ROOM,
        FAULT,
        TURNER,
        MAIL,
        LEFT,
        COMMAND_WRITTEN,
        LOOKOUT_PARKED,
        METRICS,
    ];
    let mut i = 1;
    while i < lines.len() {
        assert!(lines[i].is_multiple_of(LINE) && lines[i] >= lines[i - 1] + LINE);
        i += 1;
    }
    assert!(METRIC_HANDOVERS + 2 <= CONTROL_WORDS && CONTROL_WORDS.is_multiple_of(LINE));
    assert!(LANE_SPILLED + LINE <= LANE_CONTROL_WORDS && LANE_WORDS.is_multiple_of(LINE));
    assert!(LANE_BYTES.is_power_of_two() && ARENA_BYTES.is_power_of_two());
    assert!(INBOUND.is_multiple_of(LINE) && OUTBOUND.is_multiple_of(LINE));
};

/// Where the rings and the readiness words of one loop are, for given sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Records of the event ring, a power of two.
    pub event_records: u32,
    /// Records of the command ring, a power of two.
    pub command_records: u32,
    /// Registrations, one readiness word each.
    pub registrations: u32,
    /// The first word of the event ring.
    pub event_ring: usize,
    /// The first word of the command ring.
    pub command_ring: usize,
    /// The first readiness word.
    pub readiness: usize,
    /// Words in all.
    pub words: usize,
}

impl Layout {
    /// The layout for so many records and registrations. Records are rounded up to a power of two; all three are
    /// kept between 1 and their maximum.
    pub fn new(event_records: u32, command_records: u32, registrations: u32) -> Layout {
        let event_records = event_records.clamp(1, MAX_RECORDS).next_power_of_two();
        let command_records = command_records.clamp(1, MAX_RECORDS).next_power_of_two();
        let registrations = registrations.clamp(1, MAX_REGISTRATIONS);
        let event_ring = CONTROL_WORDS;
        let command_ring = line(event_ring + event_records as usize * RECORD_WORDS);
        let readiness = line(command_ring + command_records as usize * RECORD_WORDS);
        let words = line(readiness + registrations as usize);
        Layout {
            event_records,
            command_records,
            registrations,
            event_ring,
            command_ring,
            readiness,
            words,
        }
    }
}

/// The first word at or after `words` that begins a line.
fn line(words: usize) -> usize {
    words.next_multiple_of(LINE)
}

/// The TypeScript module `ts/bridge/layout.ts`, as `cargo run -p miolo-bridge --example layout` prints it.
pub fn typescript() -> String {
    let mut ts = String::from(
        "// Generated from crates/bridge/src/layout.rs: cargo run -p miolo-bridge --example layout\n\
         // Indices and lengths are in 32-bit words unless said otherwise.\n",
    );
    for Section { title, constants } in SECTIONS {
        ts += &format!("\n// {title}\n\n");
        for Constant { name, value, docs } in *constants {
            let docs = match docs {
                [doc] => format!("/**{doc} */"),
                lines => format!("/**\n *{}\n */", lines.join("\n *")),
            };
            ts += &format!("{docs}\nexport const {name} = {value}\n");
        }
    }
    ts + LAYOUT_FUNCTION
}

/// [`Layout::new`] in TypeScript; a test runs both.
const LAYOUT_FUNCTION: &str = r#"
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
"#;
