/** Loops whose shared memory is overwritten: they fail, saying so, or go on; they never hang. */

import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'

import { type EventLoop, LoopError, type LoopErrorCode } from 'miolo'

import { METRICS } from '../../ts/bridge/layout.ts'

/** Control words that are not counters; each stands on a line of its own, of so many words. */
export const CONTROL_LINE = 16
export const CONTROL_LINES = METRICS / CONTROL_LINE

/** A loop in which something goes on that does not end by itself. */
export interface Victim<Stroke> {
  readonly loop: EventLoop<never, never>
  /** Callbacks so far. */
  readonly calls: number
  /** Runs until something ends it: `null`, or the error it has failed with. */
  run(onCall: () => void): Promise<unknown>
  overwrite(stroke: Stroke): void
  close(): void
}

const FAILURES: LoopErrorCode[] = ['ERR_MIOLO_FAILED', 'ERR_MIOLO_UNREADABLE_MESSAGE']

function isFailure(error: unknown): boolean {
  return error instanceof LoopError && FAILURES.includes(error.code)
}

/** Throws what is neither `null` nor such a failure. */
export function mayFail(error: unknown): void {
  if (error !== null && !isFailure(error)) throw error
}

/**
 * Overwrites after so many callbacks, and gives the loop a while with it. `null`, or the error it has failed with.
 */
export async function vandalise<Stroke>(
  victim: Victim<Stroke>,
  after: number,
  strokes: Stroke[],
): Promise<unknown> {
  let isDone = false
  const overwrite = () => {
    isDone = true
    for (const stroke of strokes) victim.overwrite(stroke)
  }
  const stop = new AbortController()
  const end = (async () => {
    // Enough of callbacks, or enough of silence.
    for (let rounds = 0; rounds < 4; rounds++) {
      await sleep(4, undefined, { signal: stop.signal })
      if (!isDone) overwrite()
    }
    if (victim.loop.isRunning()) victim.loop.shutdown()
    // It may have lost the wish: its memory is not what it was.
    await sleep(50, undefined, { signal: stop.signal })
    victim.loop.close()
  })().catch(() => {})
  const error = await victim.run(() => {
    if (victim.calls === after) overwrite()
  })
  stop.abort()
  await end
  mayFail(error)
  if (error !== null) {
    // It has failed for good, and says so again.
    mayFail(await Promise.race([victim.run(() => {}), sleep(5).then(() => null)]))
  }
  victim.close()
  return error
}

/**
 * One loop after the other, each with a thread that overwrites it. That runs the program at `vandal` with `memory` for
 * its `workerData`, and posts a message before it begins.
 */
export async function underVandals<V extends Victim<never>>(
  open: () => V,
  memory: (victim: V) => unknown,
  vandal: URL,
  milliseconds: number,
): Promise<void> {
  const until = performance.now() + milliseconds
  while (performance.now() < until) {
    const victim = open()
    const worker = new Worker(vandal, { workerData: memory(victim) })
    await new Promise((resolve) => worker.once('message', resolve))
    const timer = setTimeout(() => victim.loop.close(), 30)
    mayFail(await victim.run(() => {}))
    clearTimeout(timer)
    victim.close()
    await worker.terminate()
  }
}
