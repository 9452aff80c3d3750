/** Bad input to servers and connections: a clear, typed error, and a server that goes on unharmed. */

import type { ExecutionContext } from 'ava'
import fc from 'fast-check'
import { connect, type Framing, type ServerOptions, TcpServer } from 'miolo'

import { within } from './support/deadline.ts'
import { eachDriver } from './support/drivers.ts'
import { dial, journal, running, serve } from './support/servers.ts'

const TYPED = /^ERR_(INVALID_ARG_TYPE|INVALID_ARG_VALUE|OUT_OF_RANGE)$/

/** One of many things, none of which is an object with properties of its own that mean something. */
const anything = [
  null,
  true,
  0,
  -1,
  1.5,
  Number.NaN,
  Infinity,
  2 ** 53,
  '',
  'x',
  '\0',
  0n,
  Symbol('s'),
  [],
  () => {},
  new Date(),
  new Map(),
  new ArrayBuffer(8),
  new Int32Array(2),
  new SharedArrayBuffer(8),
  Object.create(Uint8Array.prototype),
]

function refuses(t: ExecutionContext, what: string, call: () => unknown): void {
  let thrown: unknown
  try {
    call()
    t.fail(`${what} is taken`)
    return
  } catch (error) {
    thrown = error
  }
  const { code, message } = thrown as NodeJS.ErrnoException
  t.true(thrown instanceof TypeError || thrown instanceof RangeError, `${what}: ${message}`)
  t.true(
    TYPED.test(String(code)) || (code === undefined && thrown instanceof TypeError),
    `${what}: ${code} ${message}`,
  )
}

const text = (value: unknown) => {
  try {
    return `${typeof value} ${String(value)}`
  } catch {
    return typeof value
  }
}

const isIn = (min: number, max: number) => (value: unknown) =>
  Number.isInteger(value) && (value as number) >= min && (value as number) <= max
const isTime = (value: unknown) => typeof value === 'number' && value >= 0 && value <= 2 ** 53
const isBoolean = (value: unknown) => typeof value === 'boolean'

/** What each option takes; everything else is refused. */
const fine: Record<
  Exclude<keyof ServerOptions, 'framing' | 'loops'>,
  (value: unknown) => boolean
> = {
  highWaterMark: isIn(16_384, 2 ** 24 - 1),
  lowWaterMark: isIn(0, 65_536),
  maxWriteBuffer: isIn(1, 2 ** 31 - 1),
  idleTimeoutMs: isTime,
  lifetimeMs: isTime,
  allowHalfOpen: isBoolean,
  noDelay: isBoolean,
  keepAlive: isIn(0, 32_767),
  borrow: (value) => isBoolean(value) || value === 'checked',
  maxConnections: isIn(1, 2 ** 18),
  maxConnectionsPerAddress: isIn(1, 2 ** 32 - 1),
  backlog: isIn(0, 2 ** 31 - 1),
  reusePort: isBoolean,
  ipv6Only: isBoolean,
}

eachDriver('options', async (t, stage) => {
  const loop = running(stage)
  for (const [name, isFine] of Object.entries(fine)) {
    // These depend on each other; alone any is fine, down to 0.
    const depends = name === 'highWaterMark'
    for (const value of anything) {
      if (isFine(value) || (depends && value === 0)) continue
      const options = { [name]: value } as ServerOptions
      refuses(t, `${name}: ${text(value)}`, () => new TcpServer(loop, {}, options))
    }
  }
  for (const value of anything) {
    if (typeof value === 'object' && value !== null) continue
    refuses(t, `options ${text(value)}`, () => new TcpServer(loop, {}, value as never))
  }
  const log = journal()
  const { port } = serve(loop, log.handler)
  dial(stage, port).socket.end('unharmed')
  t.is(String((await log.closed()).chunks[0]), 'unharmed')
})

const marks: [
  Partial<Record<'highWaterMark' | 'lowWaterMark' | 'maxWriteBuffer', number>>,
  RegExp,
][] = [
  [{ highWaterMark: 10, lowWaterMark: 11 }, /"options\.lowWaterMark".* <= highWaterMark, 10/],
  [{ lowWaterMark: 65_537 }, /"options\.lowWaterMark".* <= highWaterMark, 65536/],
  [{ highWaterMark: 2 ** 24 }, /"options\.highWaterMark".* < maxWriteBuffer, 16777216/],
  [{ highWaterMark: 10, maxWriteBuffer: 10 }, /"options\.highWaterMark".* < maxWriteBuffer, 10/],
  [{ lowWaterMark: 10, maxWriteBuffer: 10 }, /"options\.lowWaterMark".* <= highWaterMark, 5/],
  [{ lowWaterMark: 1, maxWriteBuffer: 1 }, /"options\.lowWaterMark".* <= highWaterMark, 0/],
]

eachDriver('marks that are out of order', (t, stage) => {
  const loop = running(stage)
  for (const [options, message] of marks) {
    t.throws(() => new TcpServer(loop, {}, options), { instanceOf: RangeError, message })
  }
  for (const maxWriteBuffer of [1, 2, 65_536]) {
    t.notThrows(() => new TcpServer(loop, {}, { maxWriteBuffer }))
    t.notThrows(() => new TcpServer(loop, {}, { maxWriteBuffer, highWaterMark: 0 }))
    const highWaterMark = maxWriteBuffer - 1
    const options = { maxWriteBuffer, highWaterMark, lowWaterMark: highWaterMark }
    t.notThrows(() => new TcpServer(loop, {}, options))
  }
})

const framings: unknown[] = [
  ...anything.filter((value) => value !== undefined),
  'words',
  {},
  { delimiter: '' },
  { delimiter: new Uint8Array(0) },
  { delimiter: 1 },
  { delimiter: '\n', maxLength: 0 },
  { delimiter: '\n', maxLength: 2 ** 30 + 1 },
  { delimiter: '\n', maxLength: '1' },
  { length: 3 },
  { length: 0 },
  { length: '2' },
  { length: 2, endian: 'middle' },
  { length: 2, offset: -1 },
  { length: 2, offset: 65_536 },
  { length: 2, offset: 0.5 },
  { length: 2, inclusive: 1 },
  { length: 2, strip: 'no' },
  { length: 2, maxLength: 1e300 },
  { delimiter: '\n', length: 2 },
  { length: 2, maxLength: 1 },
  { length: 2, offset: 10, maxLength: 11 },
  { length: 4, offset: 1, maxLength: 4, strip: true, inclusive: true },
]

eachDriver('framing', (t, stage) => {
  const loop = running(stage)
  for (const framing of framings) {
    if (typeof framing === 'function') continue
    refuses(
      t,
      JSON.stringify(framing, (_, value) => (typeof value === 'bigint' ? 'n' : value)) ??
        text(framing),
      () => new TcpServer(loop, {}, { framing } as never),
    )
  }
})

eachDriver('framing that is refused says why, and its neighbour is taken', (t, stage) => {
  const loop = running(stage)
  const make = (framing: object) => () => new TcpServer(loop, {}, { framing: framing as Framing })
  const both = /"options\.framing" argument must be .*a delimiter or a length, not both/
  t.throws(make({ delimiter: 'x', length: 1 }), { instanceOf: TypeError, message: both })
  const header = /"options\.framing\.maxLength" .* >= 12, the bytes of the header/
  const framing = { length: 2, offset: 10 }
  t.throws(make({ ...framing, maxLength: 11 }), { instanceOf: RangeError, message: header })
  t.notThrows(make({ ...framing, maxLength: 12 }))
  t.notThrows(make({ ...framing, delimiter: undefined, maxLength: 12 }))
  t.notThrows(make({ delimiter: 'x', length: undefined }))
})

eachDriver('loops and handlers', (t, stage) => {
  const loop = running(stage)
  for (const value of [undefined, {}, ...anything]) {
    refuses(t, `loop ${text(value)}`, () => new TcpServer(value as never, {}))
  }
  for (const value of anything) {
    if (typeof value === 'object' && value !== null) continue
    refuses(t, `handler ${text(value)}`, () => new TcpServer(loop, value as never))
  }
  for (const name of ['open', 'data', 'end', 'drain', 'close', 'error']) {
    for (const value of anything) {
      if (typeof value === 'function') continue
      refuses(t, `${name} ${text(value)}`, () => new TcpServer(loop, { [name]: value } as never))
    }
  }
})

eachDriver('listen and close', async (t, stage) => {
  const { server } = serve(running(stage), {})
  for (const value of [
    undefined,
    ...anything,
    'localhost:1',
    '1.2.3.4',
    { port: 1 },
    { host: '::', port: -1 },
  ]) {
    refuses(t, `listen ${text(value)}`, () => server.listen(value as never))
  }
  for (const value of anything) {
    if (typeof value === 'object' && value !== null) continue
    refuses(t, `close ${text(value)}`, () => server.close(value as never))
  }
  for (const value of anything) {
    if (isTime(value)) continue
    refuses(t, `deadlineMs ${text(value)}`, () => server.close({ deadlineMs: value as never }))
  }
  // None of that has closed it.
  server.listen('127.0.0.1:0')
  await within('close', () => server.close({ deadlineMs: 2 ** 53 }))
})

eachDriver('write and end', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  const { conn } = await log.opened()
  for (const value of [undefined, {}, ...anything]) {
    if (typeof value === 'string') continue
    refuses(t, `write ${text(value)}`, () => conn.write(value as never))
    if (value !== undefined) refuses(t, `end ${text(value)}`, () => conn.end(value as never))
  }
  conn.end('unharmed')
  t.is((await client.rest()).toString(), 'unharmed')
  // Also when nothing would be written.
  client.socket.end()
  await log.closed()
  refuses(t, 'write of a number', () => conn.write(1 as never))
})

/** Bytes whose properties are not what they were, as those of a subclass may be. */
function lying(bytes: Uint8Array, length: number): Uint8Array {
  const buffer = new ArrayBuffer(8)
  const lies = { length, byteLength: length, byteOffset: 8, buffer, subarray: () => bytes }
  for (const [name, value] of Object.entries({ ...lies, slice: lies.subarray, constructor: null }))
    Object.defineProperty(bytes, name, { value })
  return bytes
}

eachDriver('of bytes that lie about themselves those that there are are sent', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler)
  const client = dial(stage, port)
  const { conn } = await log.opened()
  // A few, some, and more than go at once.
  for (const size of [5, 100, 400_000]) {
    for (const length of [0, 1, 4000, 256 * 1024, Infinity, Number.NaN, -1]) {
      const bytes = Buffer.alloc(size, `${length}`)
      conn.write(lying(new Uint8Array(bytes), length))
      conn.write('|')
      t.true((await client.take(size + 1)).equals(Buffer.concat([bytes, Buffer.from('|')])))
    }
  }
})

eachDriver('any options either make a server that serves, or throw', async (t, stage) => {
  const loop = running(stage)
  const number = fc.oneof(
    fc.nat(),
    fc.integer(),
    fc.double(),
    fc.constantFrom(0, 1, 2 ** 31, 2 ** 53),
  )
  const value = fc.oneof(number, fc.boolean(), fc.constantFrom('checked', 'lines', undefined, null))
  const names = [...Object.keys(fine), 'framing']
  const options = fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 4 })
  const message = 'x'.repeat(20)
  await fc.assert(
    fc.asyncProperty(options, async (given) => {
      const log = journal({ end: (conn) => conn.end('y') })
      let server: TcpServer
      try {
        server = new TcpServer(loop, log.handler, given as ServerOptions)
      } catch (error) {
        t.regex(String((error as NodeJS.ErrnoException).code), TYPED)
        return
      }
      const { port } = server.listen('127.0.0.1:0')
      const client = dial(stage, port)
      client.socket.end(`${message}\n`)
      await client.over()
      await within('close', () => server.close({ deadlineMs: 0 }))
    }),
    { numRuns: 100 },
  )
})

eachDriver('any address to connect to is refused by a throw, or tried', async (t, stage) => {
  const loop = running(stage)
  const { address } = serve(loop, {})
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string(),
        fc.record({ host: fc.string(), port: fc.integer() }),
        fc.constant(address),
        fc.constant({ host: '127.0.0.1', port: address.port }),
      ),
      async (where) => {
        let made
        try {
          made = connect(loop, where as string, {}, { connectTimeoutMs: 1000 })
        } catch (error) {
          t.regex(String((error as NodeJS.ErrnoException).code), TYPED)
          return
        }
        await within('an attempt', () =>
          made.then(
            (conn) => conn.abort(),
            () => {},
          ),
        )
      },
    ),
    { numRuns: 200 },
  )
})
