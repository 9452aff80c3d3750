/** How often JavaScript calls native code while connections are read and written: not for each of their messages. */

import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'

import type { ServerHandler } from 'miolo'

/** Counts the calls of the native module's functions from now on, as the package is yet to be loaded. */
function countCalls(): () => number {
  const folder = new URL('../dist/bridge/native/', import.meta.url)
  const file = readdirSync(folder).find((name) => name.endsWith('.node'))
  const native = createRequire(import.meta.url)(`../dist/bridge/native/${file}`) as object
  let calls = 0
  for (const [name, value] of Object.entries(native)) {
    if (typeof value !== 'function') continue
    const counted = (...args: unknown[]): unknown => {
      calls++
      return value(...args)
    }
    Object.defineProperty(native, name, { value: counted })
  }
  return () => calls
}

const calls = countCalls()
const { eachDriver } = await import('./support/drivers.ts')
const { dial, running, serve } = await import('./support/servers.ts')

/** So many are exchanged, in either direction. */
const MESSAGES = 10_000
/** A call for each turn of the loop, or a few, is no call for each message. */
const MOST_CALLS = MESSAGES / 3

eachDriver('frames come and go without native calls of their own', async (t, stage) => {
  const line = 'a line of some thirty characters\n'
  const handler: ServerHandler = { data: (conn) => void conn.write(line) }
  const { port } = serve(running(stage), handler, { framing: 'lines' })
  const client = await dial(stage, port).connected()
  const before = calls()
  t.true(before > 0)
  client.write(line.repeat(MESSAGES))
  await client.take(line.length * MESSAGES)
  const during = calls() - before
  t.true(during < MOST_CALLS, `${during} calls for ${MESSAGES} frames`)
})

eachDriver('nor do reads and writes have any', async (t, stage) => {
  const { port } = serve(running(stage), { data: (conn, chunk) => void conn.write(chunk) })
  // Each has its own reads and writes, and a turn of the loop is for all of them.
  const clients = Array.from({ length: 250 }, () => dial(stage, port))
  const round = async () => {
    for (const client of clients) client.write('hello')
    await Promise.all(clients.map((client) => client.take(5)))
  }
  await round()
  const before = calls()
  for (let count = 0; count < MESSAGES / clients.length; count++) await round()
  const during = calls() - before

  t.true(during < MOST_CALLS, `${during} calls for ${MESSAGES} messages`)
})
