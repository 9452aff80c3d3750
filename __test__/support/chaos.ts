/** A proxy between two sockets that does what networks do: it splits, delays and resets, by a seeded random. */

import net from 'node:net'

import { hostAndPort } from './sockets.ts'
import type { Stage } from './drivers.ts'

export interface ChaosOptions {
  /** Where the random begins. */
  seed: number
  /** The most bytes that are passed on at once. Default 1000. */
  most?: number
  /** The chance of a piece to be late, by up to 5 ms. Default 0.1. */
  late?: number
  /** The chance of a piece to be the last: both sides are reset. Default 0. */
  reset?: number
}

/** A random number from 0 to 1, the next one with each call: mulberry32. */
export function random(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Listens at a free port, and passes on to `target` what comes there, and back. Ends with the test. */
export async function chaos(
  { keep }: Pick<Stage, 'keep'>,
  target: { address: string; port: number },
  options: ChaosOptions,
): Promise<{ port: number; resets: () => number }> {
  const next = random(options.seed)
  let resets = 0
  const sockets = new Set<net.Socket>()
  const proxy = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = net.connect({
      ...hostAndPort({ family: 'IPv4', ...target }),
      allowHalfOpen: true,
      noDelay: true,
    })
    const cut = () => {
      for (const socket of [near, far]) {
        // Node cannot reset what it connects or shuts down, and would then not close it, either.
        if (socket.connecting || socket.writableEnded) socket.destroy()
        else socket.resetAndDestroy()
      }
    }
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', cut)
    }
    const whims = { ...options, chance: options.reset, next, reset: () => (resets++, cut()) }
    void pass(near, far, whims)
    void pass(far, near, whims)
  })
  keep({
    close() {
      proxy.close()
      for (const socket of sockets) socket.destroy()
    },
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  return { port: (proxy.address() as net.AddressInfo).port, resets: () => resets }
}

interface Whims extends Omit<ChaosOptions, 'reset'> {
  next: () => number
  reset(): void
  chance?: number | undefined
}

/** Passes on what one socket brings, in pieces, to the end. */
async function pass(from: net.Socket, to: net.Socket, whims: Whims): Promise<void> {
  const { most = 1000, late = 0.1, next, chance = 0 } = whims
  try {
    // Its other direction goes on when this one has ended.
    for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      for (let start = 0; start < chunk.length;) {
        const end = start + 1 + Math.floor(next() ** 2 * most)
        if (next() < chance) return whims.reset()
        if (next() < late) await new Promise((resolve) => setTimeout(resolve, next() * 5))
        const piece = chunk.subarray(start, end)
        await new Promise<void>((resolve, reject) => {
          to.write(piece, (error) => (error ? reject(error) : resolve()))
        })
        start = end
      }
    }
    to.end()
  } catch {
    // One of them is gone: the other is told by `error`, or here.
    to.destroy()
  }
}
