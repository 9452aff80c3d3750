/** Whose bytes `data` gets. */

import { eachDriver } from './support/drivers.ts'
import { dial, running, serve } from './support/servers.ts'

async function keepChunks(
  stage: Parameters<Parameters<typeof eachDriver>[1]>[1],
  borrow: boolean | 'checked',
): Promise<{ kept: Buffer[]; during: string[] }> {
  const kept: Buffer[] = []
  const during: string[] = []
  const handler = {
    data(conn: { write(data: string): boolean }, chunk: Buffer) {
      kept.push(chunk)
      during.push(chunk.toString())
      conn.write('ok')
    },
  }
  const { port } = serve(running(stage), handler, { borrow })
  const client = dial(stage, port)
  for (const text of ['first', 'second', 'x'.repeat(5000), 'last']) {
    client.write(text)
    await client.take(2)
  }
  return { kept, during }
}

eachDriver("by default a chunk is the receiver's own, and stays as it is", async (t, stage) => {
  const { kept, during } = await keepChunks(stage, false)
  t.deepEqual(kept.map(String), during)
  for (const chunk of kept) t.false(chunk.buffer instanceof SharedArrayBuffer)
  // One may be written to, and the others are none the worse for it.
  kept[0]?.fill(0)
  t.deepEqual(kept.slice(1).map(String), during.slice(1))
})

eachDriver('a borrowed chunk is right during the callback, and no copy', async (t, stage) => {
  const { kept, during } = await keepChunks(stage, true)
  t.deepEqual([during[0], during[1], during.at(-1)], ['first', 'second', 'last'])
  for (const chunk of kept) t.true((chunk.buffer as unknown) instanceof SharedArrayBuffer)
})

eachDriver("'checked' overwrites what was borrowed", async (t, stage) => {
  const { kept, during } = await keepChunks(stage, 'checked')
  t.deepEqual([during[0], during[1], during.at(-1)], ['first', 'second', 'last'])
  t.true(kept.at(-1)?.every((byte) => byte === 0xdd))
})

eachDriver("'checked' overwrites it where the callback throws, too", async (t, stage) => {
  const loop = stage.open()
  let kept: Buffer | undefined
  const failure = new Error('on purpose')
  const handler = {
    data(_: unknown, chunk: Buffer) {
      kept = chunk
      throw failure
    },
  }
  const { port } = serve(loop, handler, { borrow: 'checked' })
  const run = loop.run({})
  dial(stage, port).write('borrowed')
  t.is(await t.throwsAsync(run), failure)
  t.true(kept?.every((byte) => byte === 0xdd))
})

eachDriver('what was borrowed can be written back at once', async (t, stage) => {
  for (const borrow of [true, 'checked'] as const) {
    const handler = {
      data: (conn: { write(data: Buffer): boolean }, chunk: Buffer) => void conn.write(chunk),
    }
    const { port } = serve(running(stage), handler, { borrow })
    const client = dial(stage, port)
    const text = 'x'.repeat(1_000_000)
    client.write(text)
    t.is((await client.take(text.length)).toString(), text)
  }
})
