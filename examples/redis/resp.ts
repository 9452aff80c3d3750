// RESP2, the protocol of Redis, as a server speaks it: requests are read out of bytes as they come, and
// replies are written into bytes. It knows no command and no socket.
//
// Bytes are kept as strings of which each character is one byte, known as latin1: V8 makes, compares
// and keeps these for less than it does Buffers, and they can be keys of a Map.

export interface Limits {
  /** The longest argument, in bytes. Redis: `proto-max-bulk-len`, 512 MB. */
  maxBulk: number
  /** The most bytes of one request. Redis: `client-query-buffer-limit`, 1 GB. */
  maxRequest: number
  /**
   * The most bytes of a reply that wait for its client. None may be much longer: it is made faster than it can be read.
   * Redis: `client-output-buffer-limit`, which is none.
   */
  maxReply: number
}

/** Less than Redis allows, since here everything shares the heap of one program. */
export const LIMITS: Limits = {
  maxBulk: 16 * 1024 * 1024,
  maxRequest: 64 * 1024 * 1024,
  maxReply: 64 * 1024 * 1024,
}

const MAX_ARGUMENTS = 1024 * 1024
const MAX_LINE = 64 * 1024

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const DOLLAR = 0x24
const APOSTROPHE = 0x27
const STAR = 0x2a
const MINUS = 0x2d
const COLON = 0x3a
const ZERO = 0x30
const BACKSLASH = 0x5c

/** What a client sent is no request. It is told so, and then there is no talking to it any more. */
export class ProtocolError extends Error {
  constructor(what: string) {
    super(`Protocol error: ${what}`)
  }
}

/** The bytes from `start` to `end`, one character each. */
export function latin1(bytes: Buffer, start: number, end: number): string {
  // For so few, a call into native code costs several times what this does.
  switch (end - start) {
    case 1:
      return String.fromCharCode(bytes[start])
    case 2:
      return String.fromCharCode(bytes[start], bytes[start + 1])
    case 3:
      return String.fromCharCode(bytes[start], bytes[start + 1], bytes[start + 2])
    case 4:
      return String.fromCharCode(bytes[start], bytes[start + 1], bytes[start + 2], bytes[start + 3])
    default:
      return bytes.toString('latin1', start, end)
  }
}

const NOTHING = Buffer.alloc(0)
/** A number of which there is more to come. */
const INCOMPLETE = -2

/**
 * Reads the requests of one connection. Their arguments stay where they came, and are told by their
 * places; only what the end of a chunk cuts in two is copied, and each byte of it is looked at once.
 */
export class Requests {
  /** How many arguments the request has, the name of its command included. */
  count = 0
  /** Argument `i` lies here from `starts[i]` to `ends[i]`, until `next` or `keep`. */
  bytes: Buffer = NOTHING
  starts: number[] = []
  ends: number[] = []

  readonly #limits: Limits
  /** A chunk, or what has been kept of those before. */
  #input: Buffer = NOTHING
  #kept = false
  /** Where the request begins that is being read, how far it has been read, and how far it could be. */
  #start = 0
  #at = 0
  #end = 0
  /** The arguments still to come; 0 between two requests, and −1 within a line. */
  #missing = 0
  /** The length of the next argument; −1 while that is still to come. */
  #bulk = -1

  constructor(limits: Limits) {
    this.#limits = limits
  }

  /** Takes a chunk. It must stay as it is until `keep` is called. */
  push(chunk: Buffer): void {
    if (this.#kept) {
      const end = this.#end + chunk.length
      if (end > this.#input.length) this.#own(end - this.#start)
      chunk.copy(this.#input, this.#end)
      this.#end += chunk.length
    } else {
      this.#input = chunk
      this.#start = this.#at = 0
      this.#end = chunk.length
    }
  }

  /** Goes on to the next request. False: it has not come in full. @throws ProtocolError */
  next(): boolean {
    for (;;) {
      if (this.#missing === 0 && !this.#begin()) return false
      if (this.#missing > 0) return this.#readBulks()
      if (!this.#readLine()) return false
      // An empty line is no request; some clients send them to say that they are there.
      if (this.count > 0) return true
    }
  }

  /** Copies what is still to be read, so that the chunk can go. */
  keep(): void {
    if (this.#missing === 0) this.#start = this.#at
    const length = this.#end - this.#start
    if (length === 0) {
      // A connection that waits holds no memory.
      this.#input = this.bytes = NOTHING
      this.#kept = false
      if (this.starts.length > 1024) {
        this.starts = []
        this.ends = []
      }
    } else if (!this.#kept) this.#own(length)
  }

  /** Moves what is still to be read to where `length` bytes have room. */
  #own(length: number): void {
    const { length: capacity } = this.#input
    const start = this.#start
    // Twice the room, so that what comes in small pieces is not copied over and over; and not much
    // more, so that one long request does not hold memory for good.
    const fits = this.#kept && capacity >= 2 * length && capacity <= Math.max(16 * length, MAX_LINE)
    const input = fits ? this.#input : Buffer.allocUnsafeSlow(Math.max(2 * length, 512))
    this.#input.copy(input, 0, start, this.#end)
    this.#input = this.bytes = input
    this.#kept = true
    this.#start = 0
    this.#at -= start
    this.#end -= start
    if (start === 0 || this.#missing <= 0) return
    for (let index = 0; index < this.count; index++) {
      this.starts[index] -= start
      this.ends[index] -= start
    }
  }

  /** Finds out how the next request is written. False: nothing of it has come. */
  #begin(): boolean {
    this.bytes = this.#input
    this.count = 0
    for (;;) {
      this.#start = this.#at
      if (this.#at === this.#end) return false
      if (this.#input[this.#at] !== STAR) {
        this.#missing = -1
        return true
      }
      let count = shortNumber(this.#input, this.#at + 1, this.#end)
      if (count >= 0) this.#at += count < 10 ? 4 : 5
      else count = this.#readNumber('invalid multibulk length')
      if (count === INCOMPLETE) return false
      if (count > MAX_ARGUMENTS) throw new ProtocolError('invalid multibulk length')
      if (count > 0) {
        this.#missing = count
        return true
      }
      // Redis passes over an array of nothing, too.
    }
  }

  /** Reads the number behind a `*` or `$`, and its line's end. All below 0 are −1. */
  #readNumber(otherwise: string): number {
    const input = this.#input
    const end = this.#end
    let at = this.#at + 1
    const negative = at < end && input[at] === MINUS
    if (negative) at++
    const first = at
    let number = 0
    for (; at < end; at++) {
      const digit = input[at] - ZERO
      if (digit < 0 || digit > 9) break
      number = number * 10 + digit
      if (number > 0x7fffffff || (at > first && input[first] === ZERO)) {
        throw new ProtocolError(otherwise)
      }
    }
    if (at === end) return INCOMPLETE
    if (at === first || input[at] !== CR || (negative && number === 0)) {
      throw new ProtocolError(otherwise)
    }
    if (at + 2 > end) return INCOMPLETE
    // As in Redis, whatever follows the CR passes for an LF.
    this.#at = at + 2
    return negative ? -1 : number
  }

  #readBulks(): boolean {
    const { starts, ends } = this
    const input = this.#input
    const end = this.#end
    let { count } = this
    let at = this.#at
    let missing = this.#missing
    let bulk = this.#bulk
    while (missing > 0) {
      if (bulk < 0) {
        if (at === end) break
        if (input[at] !== DOLLAR) {
          throw new ProtocolError(`expected '$', got '${String.fromCharCode(input[at])}'`)
        }
        bulk = shortNumber(input, at + 1, end)
        if (bulk >= 0) at += bulk < 10 ? 4 : 5
        else {
          this.#at = at
          bulk = this.#readNumber('invalid bulk length')
          if (bulk === INCOMPLETE) {
            bulk = -1
            break
          }
          at = this.#at
        }
        if (bulk < 0 || bulk > this.#limits.maxBulk) throw new ProtocolError('invalid bulk length')
        if (at + bulk - this.#start > this.#limits.maxRequest) {
          throw new ProtocolError('too big request')
        }
      }
      if (end - at < bulk + 2) break
      starts[count] = at
      ends[count] = at + bulk
      count++
      missing--
      at += bulk + 2
      bulk = -1
    }
    this.count = count
    this.#at = at
    this.#missing = missing
    this.#bulk = bulk
    return missing === 0
  }

  /** Reads a line as a person types it, `SET greeting "good morning"`. */
  #readLine(): boolean {
    const input = this.#input
    const end = this.#end
    let at = this.#at
    while (at < end && input[at] !== LF) at++
    if (at - this.#start > MAX_LINE) throw new ProtocolError('too big inline request')
    this.#at = at
    if (at === end) return false
    this.#at = at + 1
    this.#missing = 0
    this.#split(at)
    return true
  }

  /** Splits a line into its words, which lie where they are unless one is quoted. */
  #split(end: number): void {
    const input = this.#input
    let at = this.#start
    let count = 0
    for (;;) {
      while (at < end && isSpace(input[at])) at++
      if (at === end) break
      this.starts[count] = at
      for (; at < end && !isSpace(input[at]); at++) {
        if (input[at] === QUOTE || input[at] === APOSTROPHE) return this.#unquote(end)
      }
      this.ends[count++] = at
    }
    this.count = count
  }

  /** Splits a line as a shell would, and as Redis does. */
  #unquote(end: number): void {
    const input = this.#input
    const words = Buffer.allocUnsafe(end - this.#start)
    let length = 0
    let at = this.#start
    let count = 0
    for (;;) {
      while (at < end && isSpace(input[at])) at++
      if (at === end) break
      this.starts[count] = length
      let quote = 0
      for (; at < end; at++) {
        let byte = input[at]
        if (quote === 0) {
          if (isSpace(byte)) break
          if (byte === QUOTE || byte === APOSTROPHE) {
            quote = byte
            continue
          }
        } else if (byte === quote) {
          if (at + 1 < end && !isSpace(input[at + 1])) throw unbalanced()
          quote = 0
          continue
        } else if (byte === BACKSLASH && at + 1 < end) {
          if (quote === APOSTROPHE) {
            if (input[at + 1] === APOSTROPHE) byte = input[++at]
          } else {
            const hex = /^x[0-9a-f]{2}/i.exec(
              input.toString('latin1', at + 1, Math.min(at + 4, end)),
            )
            if (hex !== null && input[at + 1] === 0x78) {
              byte = Number.parseInt(hex[0].slice(1), 16)
              at += 3
            } else byte = escaped(input[++at])
          }
        }
        words[length++] = byte
      }
      if (quote !== 0) throw unbalanced()
      this.ends[count++] = length
    }
    this.count = count
    this.bytes = words
  }

  /** An argument. */
  text(index: number): string {
    return latin1(this.bytes, this.starts[index], this.ends[index])
  }

  /** Whether an argument is `word`, which is in lower case, however the argument is written. */
  is(index: number, word: string): boolean {
    const start = this.starts[index]
    if (this.ends[index] - start !== word.length) return false
    for (let at = 0; at < word.length; at++) {
      if ((this.bytes[start + at] | 0x20) !== word.charCodeAt(at)) return false
    }
    return true
  }
}

/** The number of one or two digits at `at`, as nearly all are, with its line's end; −1: it is not so easy. */
function shortNumber(input: Buffer, at: number, end: number): number {
  if (at + 4 > end) return -1
  const first = input[at] - ZERO
  if (first < 0 || first > 9) return -1
  if (input[at + 1] === CR) return first
  const second = input[at + 1] - ZERO
  if (first === 0 || second < 0 || second > 9 || input[at + 2] !== CR) return -1
  return 10 * first + second
}

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === CR || byte === TAB || byte === LF
}

function unbalanced(): ProtocolError {
  return new ProtocolError('unbalanced quotes in request')
}

const ESCAPES = new Map([...'nrtba'].map((letter, index) => [letter, '\n\r\t\b\x07'[index]]))

/** The byte that is written as a backslash and `byte`. */
function escaped(byte: number): number {
  return ESCAPES.get(String.fromCharCode(byte))?.charCodeAt(0) ?? byte
}

/** Where a connection's replies go, and how it is made to wait; a Connection is one, and so can a Socket be. */
export interface Peer {
  /** Sends bytes, of which it keeps no reference. False: the client should be waited for. */
  write(bytes: Uint8Array): boolean
  /** Ends the connection behind what was written. */
  end(): void
  /** Ends it at once. */
  abort(): void
  pause(): void
  resume(): void
}

/** There is more to reply than a client that does not read may have. */
export class ReplyTooLong extends Error {}

const CAPACITY = 64 * 1024
/** Up to so many characters, writing them one by one is faster than a call into native code. */
const FEW = 32
/** Room for a type, a number and two line ends. */
const HEADER = 32

/**
 * Writes the replies to whatever came at once into one buffer, the same for all connections, and sends
 * it once.
 */
export class Replies {
  /** The client does not read as fast as it is answered; the next request must wait. */
  blocked = false
  readonly #bytes = Buffer.allocUnsafeSlow(CAPACITY)
  #length = 0
  #peer: Peer | null = null
  /** What was sent although the client was to be waited for. */
  #excess = 0
  readonly #limits: Limits

  constructor(limits: Limits) {
    this.#limits = limits
  }

  /** Whose replies follow. */
  open(peer: Peer): void {
    this.#peer = peer
    this.#length = 0
    this.#excess = 0
    this.blocked = false
  }

  /** Sends what was written. @throws ReplyTooLong */
  flush(): void {
    const length = this.#length
    if (length === 0) return
    this.#length = 0
    if (this.blocked) {
      this.#excess += length
      if (this.#excess > this.#limits.maxReply) throw new ReplyTooLong()
    }
    if (!this.#peer!.write(this.#bytes.subarray(0, length))) this.blocked = true
  }

  /** A reply that is encoded already, and short. */
  encoded(reply: Uint8Array): void {
    const { length } = reply
    if (this.#length + length > CAPACITY) this.flush()
    const bytes = this.#bytes
    const start = this.#length
    for (let at = 0; at < length; at++) bytes[start + at] = reply[at]
    this.#length = start + length
  }

  bulk(text: string): void {
    const { length } = text
    if (this.#length + length + HEADER > CAPACITY) {
      this.flush()
      if (length + HEADER > CAPACITY) return this.#longBulk(text)
    }
    this.#header(DOLLAR, length)
    this.#write(text)
    this.#lineEnd()
  }

  integer(number: number | bigint): void {
    this.#room(HEADER)
    if (typeof number === 'number' && number >= 0 && number <= 0x7fffffff) {
      this.#header(COLON, number)
    } else {
      this.#write(`:${number}`)
      this.#lineEnd()
    }
  }

  /** The beginning of an array; its elements follow. */
  array(length: number): void {
    this.#room(HEADER)
    this.#header(STAR, length)
  }

  /** An error. As in Redis, it stays on one line, whatever the client has put into it. */
  error(text: string): void {
    const line = text.replaceAll(/[\r\n]/g, ' ')
    this.#room(line.length + HEADER)
    this.#write(`-${line}`)
    this.#lineEnd()
  }

  #room(length: number): void {
    if (this.#length + length > CAPACITY) this.flush()
  }

  #write(text: string): void {
    const bytes = this.#bytes
    const { length } = text
    const start = this.#length
    if (length > FEW) bytes.write(text, start, 'latin1')
    else for (let at = 0; at < length; at++) bytes[start + at] = text.charCodeAt(at)
    this.#length = start + length
  }

  #lineEnd(): void {
    const bytes = this.#bytes
    bytes[this.#length++] = CR
    bytes[this.#length++] = LF
  }

  /** A type, a number from 0 to 2^31 − 1, and the line's end. */
  #header(type: number, number: number): void {
    const bytes = this.#bytes
    let at = this.#length
    bytes[at++] = type
    let digits = 1
    for (let bound = 10; number >= bound; bound *= 10) digits++
    for (let rest = number, last = at + digits - 1; last >= at; last--) {
      const tens = (rest / 10) | 0
      bytes[last] = ZERO + rest - tens * 10
      rest = tens
    }
    at += digits
    bytes[at++] = CR
    bytes[at++] = LF
    this.#length = at
  }

  /** A text that does not fit into the buffer goes through it in pieces. */
  #longBulk(text: string): void {
    this.#header(DOLLAR, text.length)
    this.flush()
    for (let at = 0; at < text.length; at += CAPACITY) {
      this.#write(text.slice(at, at + CAPACITY))
      this.flush()
    }
    this.#lineEnd()
  }
}
