/** How late timeouts fire that are spread over a time: `miolo|node TIMEOUTS SPREAD_MS`. */
import { quantile } from '../lib/stats.ts'

const [side, count, spread] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]

/** By then all are set, however long the setting takes: it is not what is judged here. */
const FIRST_MS = 1000

const due = new Float64Array(count)
const lateness = new Float64Array(count)
let fired = 0

/** Scattered over the spread, the same for both sides: multiples of the golden ratio. */
function delay(index: number): number {
  return FIRST_MS + Math.floor(((index * 0.618_033_988_749_894_9) % 1) * spread)
}

/** Notes when the timeout is due at the earliest, before it is set. */
function note(index: number): number {
  due[index] = performance.now() + delay(index)
  return delay(index)
}

/** True once all have fired. */
function fire(index: number): boolean {
  lateness[index] = performance.now() - due[index]!
  fired += 1
  return fired === count
}

async function node(): Promise<void> {
  await new Promise<void>((resolve) => {
    const callback = (index: number): void => {
      if (fire(index)) resolve()
    }
    for (let index = 0; index < count; index += 1) setTimeout(callback, note(index), index)
  })
}

async function miolo(): Promise<void> {
  const { EventLoop } = await import('miolo')
  const loop = new EventLoop<number>({ timerCapacity: count })
  for (let index = 0; index < count; index += 1) loop.timeoutMs(index, note(index))
  await loop.run({
    timeout(loop, index) {
      if (fire(index)) loop.shutdown()
    },
  })
}

const cpu = process.cpuUsage()
await (side === 'miolo' ? miolo() : node())
const { user, system } = process.cpuUsage(cpu)
// A difference of two readings in floating-point milliseconds is right to some nanoseconds only.
const early = lateness.filter((late) => late < -0.001).length
console.log(
  JSON.stringify({
    p50: quantile(lateness, 0.5),
    p99: quantile(lateness, 0.99),
    max: quantile(lateness, 1),
    early,
    cpuMs: (user + system) / 1000,
  }),
)
