import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** The share of the machine's processors that others may use during a measurement. */
export const TOLERATED = 0.1
/** How long to wait for others to be done before a measurement is made all the same. */
const WAIT_MS = 20_000
/** How long to wait and to measure again in all: a machine that is always busy is measured as it is. */
let patienceMs = 5 * 60_000
/** How often a measurement that was disturbed is made. */
const ATTEMPTS = 3
const TICKS_PER_SECOND = 100

/** CPU times so far, in milliseconds. */
interface Times {
  busy: number
  all: number
  /** Of `busy`, this process and its children that have ended. */
  ours: number
}

/** null where the system does not tell what children have used. */
function times(): Times | null {
  let stat: string
  try {
    stat = readFileSync('/proc/self/stat', 'utf8')
  } catch {
    return null
  }
  // Behind the name, which may hold anything: utime, stime, cutime and cstime are fields 14 to 17.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  let busy = 0
  let all = 0
  for (const { times } of cpus()) {
    busy += times.user + times.nice + times.sys + times.irq
    all += times.user + times.nice + times.sys + times.irq + times.idle
  }
  return { busy, all, ours: (ticks * 1000) / TICKS_PER_SECOND }
}

/** The share of the processors that others have used between two looks. */
function foreign(from: Times, to: Times): number {
  const others = to.busy - from.busy - (to.ours - from.ours)
  return Math.max(0, others / Math.max(1, to.all - from.all))
}

async function quiet(): Promise<void> {
  const end = performance.now() + Math.min(WAIT_MS, patienceMs)
  while (performance.now() < end) {
    const from = times()
    if (from === null) return
    await sleep(500)
    if (foreign(from, times()!) <= TOLERATED) return
    patienceMs -= 500
  }
}

/**
 * Measures while nobody else is busy: waits for that, and measures again where it did not last. Of several
 * measurements the least disturbed one counts. Whether one counts never depends on what it brought.
 */
export async function undisturbed<T>(
  measure: () => Promise<T>,
): Promise<{ result: T; foreign: number | null }> {
  let best: { result: T; foreign: number } | null = null
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    await quiet()
    const started = performance.now()
    const from = times()
    const result = await measure()
    const to = times()
    if (from === null || to === null) return { result, foreign: null }
    const share = foreign(from, to)
    if (best === null || share < best.foreign) best = { result, foreign: share }
    if (share <= TOLERATED) break
    patienceMs -= performance.now() - started
    if (patienceMs <= 0) break
  }
  return best!
}
