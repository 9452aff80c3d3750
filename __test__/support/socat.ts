/** socat, which sends much and compares what comes back. */

import { spawn } from 'node:child_process'
import { createCipheriv, createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import type { ExecutionContext } from 'ava'

import { within } from './deadline.ts'

export const MEGABYTE = 1024 * 1024

/** Bytes that look random and are the same each time. */
export function* noise(megabytes: number): Generator<Buffer> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
  const zeros = Buffer.alloc(MEGABYTE)
  for (let index = 0; index < megabytes; index++) yield cipher.update(zeros)
}

/** How many bytes there are, and their hash. */
export async function fingerprint(bytes: Iterable<Buffer> | AsyncIterable<Buffer>) {
  const hash = createHash('sha256')
  let length = 0
  for await (const chunk of bytes) {
    hash.update(chunk)
    length += chunk.length
  }
  return { length, sha256: hash.digest('hex') }
}

/** Sends so much through socat to an echo server, and checks that the same comes back, and nothing else. */
export async function returnsToSocat(
  t: ExecutionContext,
  port: number,
  megabytes: number,
): Promise<void> {
  const socat = spawn('socat', ['-b', '65536', '-t', '60', '-', `TCP:127.0.0.1:${port}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => socat.kill('SIGKILL'))
  const [received] = await within('the echo', () =>
    Promise.all([
      fingerprint(socat.stdout),
      pipeline(Readable.from(noise(megabytes)), socat.stdin),
    ]),
  )
  t.deepEqual(received, await fingerprint(noise(megabytes)))
}
