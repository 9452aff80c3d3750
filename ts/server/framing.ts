import type { NativeFraming } from '../bridge/binding.ts'
import { invalidType, invalidValue, outOfRange } from '../errors.ts'
import { boolean, integer, word } from '../validate.ts'

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

const MOST = 2 ** 30

/** @internal */
export function nativeFraming(framing: Framing | undefined): NativeFraming {
  if (framing === undefined || framing === 'raw') return { kind: 'raw', max: 0 }
  if (framing === 'lines') return { kind: 'lines', max: 65_536 }
  if (typeof framing === 'string') throw invalidValue('options.framing', EXPECTED, framing)
  // Arrays have a length, too.
  if (typeof framing !== 'object' || framing === null || isArray(framing)) {
    throw invalidType('options.framing', EXPECTED, framing)
  }
  const { delimiter, length } = framing as Partial<DelimiterFraming & LengthFraming>
  if ((delimiter === undefined) === (length === undefined)) {
    throw invalidValue('options.framing', EXPECTED, framing)
  }
  if (delimiter !== undefined) return delimiterFraming(framing as DelimiterFraming)
  return lengthFraming(framing as LengthFraming)
}

function isArray(value: object): boolean {
  return Array.isArray(value) || ArrayBuffer.isView(value)
}

const EXPECTED = "'raw', 'lines', or an object with a delimiter or a length, not both"

function delimiterFraming({ delimiter, maxLength = 65_536 }: DelimiterFraming): NativeFraming {
  if (typeof delimiter !== 'string' && !(delimiter instanceof Uint8Array)) {
    throw invalidType('options.framing.delimiter', 'a string or a Uint8Array', delimiter)
  }
  const bytes = Buffer.from(delimiter)
  if (bytes.length === 0) throw invalidValue('options.framing.delimiter', 'not empty', delimiter)
  const max = integer(maxLength, 'options.framing.maxLength', 1, MOST)
  if (bytes.equals(NEWLINE)) return { kind: 'lines', max }
  return { kind: 'delimiter', max, delimiter: bytes }
}

const NEWLINE = Buffer.from('\n')

function lengthFraming(framing: LengthFraming): NativeFraming {
  const { length, endian = 'big', offset = 0, inclusive = false, maxLength = 2 ** 20 } = framing
  if (typeof length !== 'number') throw invalidType('options.framing.length', '1, 2 or 4', length)
  if (length !== 1 && length !== 2 && length !== 4) {
    throw invalidValue('options.framing.length', '1, 2 or 4', length)
  }
  integer(offset, 'options.framing.offset', 0, 65_535)
  const max = integer(maxLength, 'options.framing.maxLength', 1, MOST)
  const header = offset + length
  if (max < header) {
    throw outOfRange('options.framing.maxLength', `>= ${header}, the bytes of the header`, max)
  }
  return {
    kind: 'length',
    max,
    lengthBytes: length,
    littleEndian: word(endian, 'options.framing.endian', ['big', 'little']) === 'little',
    offset,
    inclusive: boolean(inclusive, 'options.framing.inclusive'),
    strip: boolean(framing.strip ?? offset === 0, 'options.framing.strip'),
  }
}
