/** Whole frames, however the bytes come. */

import fc from 'fast-check'
import type { Framing, LengthFraming } from 'miolo'

import { eachDriver, type Stage } from './support/drivers.ts'
import { dial, journal, running, serve } from './support/servers.ts'

interface Case {
  name: string
  framing: Framing
  input: Buffer
  frames: Buffer[]
}

const bytes = (text: string) => Buffer.from(text, 'latin1')

/** A frame of some content, and what `data` gets of it. */
function encode(
  { length, endian = 'big', offset = 0, inclusive = false, strip = offset === 0 }: LengthFraming,
  content: Buffer,
): { whole: Buffer; told: Buffer } {
  const header = Buffer.alloc(offset + length, '#')
  const count = content.length + (inclusive ? header.length : 0)
  if (endian === 'big') header.writeUIntBE(count, offset, length)
  else header.writeUIntLE(count, offset, length)
  const whole = Buffer.concat([header, content])
  return { whole, told: strip ? content : whole }
}

const contents = ['', 'a', 'two', '\r\n', 'x'.repeat(20)].map(bytes)

const delimited: Case[] = (
  [
    ['lines', 'lines', '\n\r\nab\r\nc\rd\n\r\r\n', ['', '', 'ab', 'c\rd', '\r']],
    ['a delimiter of one byte', { delimiter: ';' }, ';;ab;c\n;', ['', '', 'ab', 'c\n']],
    ['a delimiter that repeats itself', { delimiter: 'aab' }, 'aaabxaaaab', ['a', 'xaa']],
    [
      'bytes',
      { delimiter: Uint8Array.of(0, 255, 0) },
      '\0\xff\0\0\0\xff\0\xff\0\xff\0',
      ['', '\0', '\xff'],
    ],
    ['two newlines', { delimiter: '\r\n\r\n' }, 'GET\r\n\r\r\n\r\n\r\n\r\n', ['GET\r\n\r', '']],
  ] as [string, Framing, string, string[]][]
).map(([name, framing, input, frames]) => ({
  name,
  framing,
  input: bytes(input),
  frames: frames.map(bytes),
}))

const prefixed: Case[] = ([1, 2, 4] as const).flatMap((length) =>
  (['big', 'little'] as const).flatMap((endian) =>
    [0, 1, 5].flatMap((offset) =>
      [false, true].flatMap((inclusive) =>
        [false, true].map((strip) => {
          const framing = { length, endian, offset, inclusive, strip }
          const encoded = contents.map((content) => encode(framing, content))
          return {
            name: JSON.stringify(framing),
            framing,
            input: Buffer.concat(encoded.map(({ whole }) => whole)),
            frames: encoded.map(({ told }) => told),
          }
        }),
      ),
    ),
  ),
)

/** Sends an input in parts, each a segment of its own, and says which frames come of it. */
async function frames(stage: Stage, framing: Framing, inputs: Buffer[][]): Promise<Buffer[][]> {
  const log = journal()
  const { port } = serve(running(stage), log.handler, { framing })
  const clients = inputs.map(() => dial(stage, port))
  const ports: number[] = []
  await Promise.all(
    clients.map(async (client, index) => {
      await client.connected()
      ports[index] = client.socket.localPort as number
      for (const part of inputs[index] as Buffer[]) {
        if (part.length > 0) await client.send(part)
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      client.socket.end()
    }),
  )
  const byPort = new Map<number, Buffer[]>()
  for (const index of clients.keys()) {
    const { chunks, conn } = await log.closed(index)
    byPort.set(conn.remoteAddress?.port as number, chunks)
  }
  return ports.map((each) => byPort.get(each) as Buffer[])
}

for (const { name, framing, input, frames: expected } of delimited) {
  eachDriver(`${name}, split anywhere`, async (t, stage) => {
    const inputs = Array.from({ length: input.length + 1 }, (_, at) => [
      input.subarray(0, at),
      input.subarray(at),
    ])
    inputs.push(Array.from(input, (_, at) => input.subarray(at, at + 1)))
    for (const chunks of await frames(stage, framing, inputs)) t.deepEqual(chunks, expected)
  })
}

eachDriver('every way to tell a length, split anywhere', async (t, stage) => {
  for (const { name, framing, input, frames: expected } of prefixed) {
    const inputs = Array.from({ length: input.length + 1 }, (_, at) => [
      input.subarray(0, at),
      input.subarray(at),
    ])
    for (const chunks of await frames(stage, framing, inputs)) t.deepEqual(chunks, expected, name)
  }
})

eachDriver('any frames, in any parts', async (t, stage) => {
  const framings = [...delimited, ...prefixed].map(({ framing }) => framing)
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...framings),
      fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }),
      fc.array(fc.nat(5000), { maxLength: 10 }),
      async (framing, some, cuts) => {
        const pairs = some.map((content) => {
          if (typeof framing === 'object' && 'length' in framing) {
            return encode(framing, Buffer.from(content))
          }
          const delimiter =
            typeof framing === 'object' ? Buffer.from(framing.delimiter) : Buffer.from('\n')
          // Letters that are in no delimiter.
          const told = Buffer.from(content.map((byte) => 0x41 + (byte % 16)))
          return { whole: Buffer.concat([told, delimiter]), told }
        })
        const input = Buffer.concat(pairs.map(({ whole }) => whole))
        const ends = [...cuts, 0, input.length].sort((a, b) => a - b)
        const parts = ends.slice(1).map((end, index) => input.subarray(ends[index], end))
        const [chunks] = await frames(stage, framing, [parts])
        t.deepEqual(
          chunks,
          pairs.map(({ told }) => told),
        )
      },
    ),
    { numRuns: 25 },
  )
})

const limits: [string, Framing, (size: number) => Buffer][] = [
  ['lines', { delimiter: '\n', maxLength: 100 }, (size) => bytes(`${'x'.repeat(size)}\n`)],
  [
    'lines with \\r',
    { delimiter: '\n', maxLength: 100 },
    (size) => bytes(`${'x'.repeat(size)}\r\n`),
  ],
  ['a delimiter', { delimiter: 'end', maxLength: 100 }, (size) => bytes(`${'x'.repeat(size)}end`)],
  [
    'a length, of the whole frame',
    { length: 2, maxLength: 100, strip: false },
    (size) => encode({ length: 2 }, Buffer.alloc(size - 2)).whole,
  ],
]

for (const [name, framing, frame] of limits) {
  eachDriver(`a frame may be as long as the maximum, and no longer: ${name}`, async (t, stage) => {
    const log = journal()
    const { port } = serve(running(stage), log.handler, { framing })
    const fits = dial(stage, port)
    fits.socket.end(frame(100))
    const first = await log.closed()
    t.is(first.reason, 'end')
    t.is(first.chunks.length, 1)
    dial(stage, port).write(frame(101))
    const second = await log.closed(1)
    t.is(second.reason, 'frame-too-long')
    t.is(second.chunks.length, 0)
  })
}

eachDriver('a frame that never ends is not waited for', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler, { framing: 'lines' })
  const client = dial(stage, port)
  const timer = setInterval(() => client.write(Buffer.alloc(10_000, 'x')), 1)
  t.teardown(() => clearInterval(timer))
  const { reason, calls } = await log.closed()
  t.is(reason, 'frame-too-long')
  t.deepEqual(calls, ['open', 'close'])
})

eachDriver('what is left of a frame at the end is dropped', async (t, stage) => {
  const log = journal()
  const { port } = serve(running(stage), log.handler, { framing: 'lines' })
  dial(stage, port).socket.end('whole\npart')
  const { chunks, reason } = await log.closed()
  t.deepEqual(chunks.map(String), ['whole'])
  t.is(reason, 'end')
})

eachDriver('a part of a frame costs nothing while it waits', async (t, stage) => {
  const log = journal()
  const loop = running(stage)
  const { port } = serve(loop, log.handler, { framing: 'lines' })
  const client = await dial(stage, port).connected()
  await client.send('par')
  await new Promise((resolve) => setTimeout(resolve, 50))
  const before = loop.metrics().iterations
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.true(loop.metrics().iterations - before < 50)
  client.write('t\n')
  await log.until('the line', () => log.lives[0]?.chunks.length === 1)
  t.is(String(log.lives[0]?.chunks[0]), 'part')
})

for (const borrow of [false, true, 'checked'] as const) {
  eachDriver(
    `frames larger than the arena, and small ones between: borrow ${borrow}`,
    async (t, stage) => {
      const options = { framing: { length: 4, maxLength: 8_000_000 }, borrow } as const
      const log = journal()
      const { port } = serve(running(stage), log.handler, options)
      const client = dial(stage, port)
      const sizes = [3_000_000, 5, 131_072, 131_073, 0, 1_048_576, 7, 5_000_000, 1]
      for (const [index, size] of sizes.entries()) {
        client.write(encode({ length: 4 }, Buffer.alloc(size, index + 1)).whole)
      }
      client.socket.end()
      const { chunks, reason } = await log.closed()
      t.is(reason, 'end')
      t.deepEqual(
        chunks.map(({ length }) => length),
        sizes,
      )
      for (const [index, chunk] of chunks.entries()) {
        t.true(
          chunk.every((byte) => byte === index + 1),
          String(index),
        )
      }
    },
  )
}

eachDriver('many frames at once, more than the rings and the arena hold', async (t, stage) => {
  const log = journal()
  const loop = running(stage, { eventCapacity: 16 })
  const { port } = serve(loop, log.handler, { framing: 'lines' })
  const clients = [0, 1, 2, 3].map(() => dial(stage, port))
  const lines = Array.from(
    { length: 20_000 },
    (_, index) => `line ${index}${' '.repeat(index % 100)}`,
  )
  for (const client of clients) client.socket.end(`${lines.join('\n')}\n`)
  for (const index of clients.keys()) {
    const { chunks } = await log.closed(index)
    t.is(chunks.length, lines.length)
    t.is(chunks.join('\n'), lines.join('\n'))
  }
})

eachDriver(
  'pause stops in the midst of many frames, and resume goes on there',
  async (t, stage) => {
    const log = journal({
      data(conn) {
        conn.pause()
        setImmediate(() => conn.resume())
      },
    })
    const { port } = serve(running(stage), log.handler, { framing: 'lines' })
    const lines = Array.from({ length: 1000 }, (_, index) => `line ${index}`)
    dial(stage, port).socket.end(`${lines.join('\n')}\n`)
    const { chunks, reason } = await log.closed()
    t.is(chunks.join('\n'), lines.join('\n'))
    t.is(reason, 'end')
  },
)
